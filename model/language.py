"""The language model: a transformers causal LM, run layer by layer, so that our blocks stand between its layers.

The seam is what decoder stacks of transformers share: embeddings, layers with rotary positions, a last norm, a head.
What they are called differs; `STACKS` lists it. An architecture that is not listed is refused, as some do more between
these parts (Gemma scales its embeddings) and would be wrong without a word. Self-attention never crosses a document.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import LanguageSettings

NEARLY = 0.9  # of difflib's ratio: one letter in ten lost, doubled or turned; num_layers is unlike num_hidden_layers

Between = Callable[[int, Tensor], Tensor]
"""Called before decoder layer i with (i, hidden_BTD); returns the hidden states that enter the layer."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Names of the parts of a causal LM; embed, norm: inside `root`; cache: the layers' argument for the KV cache."""

    root: str = "model"
    embed: str = "embed_tokens"
    norm: str = "norm"
    cache: str = "past_key_values"


STACKS = {
    "mistral": Stack(),  # InfiMM-Zephyr
    "llama": Stack(),  # InfiMM-Vicuna, InfiMM-LLaMA2
    "qwen2": Stack(),
    "qwen3": Stack(),
    "gpt_neox": Stack("gpt_neox", "embed_in", "final_layer_norm", "layer_past"),  # Pythia, RedPajama-INCITE
}
"""`model_type` of transformers -> its stack. Adding one is a line here; tests compare each with its own forward."""


def stack_of(lm: nn.Module) -> Stack:
    """Return the stack of a causal LM; raises ConfigError when its architecture is not listed."""
    return _stack(cast(Any, lm).config.model_type)


def _stack(model_type: str) -> Stack:
    if model_type not in STACKS:
        raise ConfigError(f"language model of type '{model_type}': expected one of {', '.join(STACKS)}")
    return STACKS[model_type]


def sliding_window_of(lm: nn.Module) -> int | None:
    """Return the window of the LM's layers in tokens, None for all; raises ConfigError when its layers differ in it."""
    config = cast(Any, lm).config
    kinds = set(getattr(config, "layer_types", None) or ())
    if len(kinds) > 1:
        raise ConfigError(f"language model: layers of {' and '.join(sorted(kinds))}, expected one kind in all layers")
    return None if kinds == {"full_attention"} else getattr(config, "sliding_window", None)


def load_language(settings: LanguageSettings, *, vocabulary: int) -> nn.Module:
    """Return the causal LM with at least `vocabulary` embeddings (rows are added where the tokenizer has more).

    Raises ConfigError when the config or the weights cannot be had, or when the architecture is not in `STACKS`.
    """
    declare_torchvision_ops()
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM  # heavy: only where a language model is needed

    try:
        if settings.config is not None:
            given = {"vocab_size": vocabulary, **settings.config}
            _stack(given["model_type"])
            _check_spelling(given)
            config = AutoConfig.for_model(given.pop("model_type"), **given)
            build: Any = AutoModelForCausalLM.from_config
            lm = build(config, attn_implementation="sdpa")
        else:
            path = resolve(settings.pretrained or "")
            lm = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa", use_safetensors=True)
    except StrictDataclassError as error:  # of a config whose numbers do not go together; the second line says which
        raise ConfigError(f"language model: {' '.join(str(error).split())[:300]}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"language model: {str(error).splitlines()[0]}") from None
    stack_of(lm)
    heads, shared = lm.config.num_attention_heads, getattr(lm.config, "num_key_value_heads", None)
    if shared and heads % shared:
        raise ConfigError(
            f"language model: {heads} attention heads share {shared} key-value heads; set num_key_value_heads "
            f"(without it {lm.config.model_type} has {type(lm.config)().num_key_value_heads})"
        )
    if lm.get_input_embeddings().num_embeddings < vocabulary:
        lm.resize_token_embeddings(vocabulary)
    return cast(nn.Module, lm)


def _check_spelling(given: Mapping[str, Any]) -> None:
    """Raise ConfigError on a key that is nearly one of the config's: transformers keeps any key and reads no other.

    Keys unlike all of them pass: published configs carry some that their class does not name.
    """
    from transformers import CONFIG_MAPPING

    known = set(CONFIG_MAPPING[given["model_type"]]().to_dict())
    for key in given.keys() - known:
        near = difflib.get_close_matches(key, known - given.keys(), n=1, cutoff=NEARLY)
        if near:
            raise ConfigError(f"language model: unknown key '{key}'. Did you mean '{near[0]}'?")


def attention_mask(
    document_ids_BT: Int[Tensor, "B T"], key_document_ids_BS: Int[Tensor, "B S"], *, sliding_window: int | None
) -> Bool[Tensor, "B 1 T S"]:
    """Return which of S keys each of the last T tokens may see: those of its document at or before it.

    sliding_window: tokens, itself included, as Mistral counts; None: all. Padding (-1) sees padding only, so that no
    row of the softmax is empty.
    """
    tokens, keys = document_ids_BT.shape[1], key_document_ids_BS.shape[1]
    at_T = torch.arange(keys - tokens, keys, device=document_ids_BT.device)
    at_S = torch.arange(keys, device=document_ids_BT.device)
    distance_TS = at_T[:, None] - at_S[None, :]
    near_TS = distance_TS >= 0
    if sliding_window is not None:
        near_TS = near_TS & (distance_TS < sliding_window)
    same_BTS = document_ids_BT[:, :, None] == key_document_ids_BS[:, None, :]
    return (same_BTS & near_TS)[:, None]


def run_layers(
    lm: nn.Module,
    input_ids_BT: Int[Tensor, "B T"],
    *,
    position_ids_BT: Int[Tensor, "B T"],
    mask_BTS: Bool[Tensor, "B 1 T S"],
    between: Between,
    cache: Any = None,
    recompute: bool = False,
) -> Float[Tensor, "B T D"]:
    """Return the normed hidden states after the last layer. cache: transformers' KV cache, extended in place.

    recompute: keep only what enters each layer, and the block before it, and compute the rest again in backward.
    """
    stack = stack_of(lm)
    decoder: Any = getattr(lm, stack.root)
    hidden_BTD = getattr(decoder, stack.embed)(input_ids_BT)
    rotary = decoder.rotary_emb(hidden_BTD, position_ids=position_ids_BT)

    def run(i: int, hidden_BTD: Tensor) -> Tensor:
        return cast(
            Tensor,
            decoder.layers[i](
                between(i, hidden_BTD),
                attention_mask=mask_BTS,
                position_ids=position_ids_BT,
                use_cache=cache is not None,
                position_embeddings=rotary,
                **{stack.cache: cache},
            ),
        )

    for i in range(len(decoder.layers)):
        if recompute:
            hidden_BTD = cast(Tensor, checkpoint(run, i, hidden_BTD, use_reentrant=False))
        else:
            hidden_BTD = run(i, hidden_BTD)
    return cast(Tensor, getattr(decoder, stack.norm)(hidden_BTD))
