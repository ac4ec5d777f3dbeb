"""The language model: a transformers causal LM, run layer by layer, so that our blocks stand between its layers.

The seam is what decoder stacks of transformers share: `model.embed_tokens`, `model.layers`, `model.rotary_emb`,
`model.norm` and `lm_head` (Mistral, Llama and most others). Self-attention never crosses a document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import LanguageSettings

Between = Callable[[int, Tensor], Tensor]
"""Called before decoder layer i with (i, hidden_BTD); returns the hidden states that enter the layer."""


def load_language(settings: LanguageSettings, *, vocabulary: int) -> nn.Module:
    """Return the causal LM with at least `vocabulary` embeddings (rows are added where the tokenizer has more).

    Raises ConfigError when the config or the weights cannot be had, or when the architecture has no such stack.
    """
    declare_torchvision_ops()
    from transformers import AutoConfig, AutoModelForCausalLM  # heavy: only where a language model is needed

    try:
        if settings.config is not None:
            given = {"vocab_size": vocabulary, **settings.config}
            config = AutoConfig.for_model(given.pop("model_type"), **given)
            build: Any = AutoModelForCausalLM.from_config
            lm = build(config, attn_implementation="sdpa")
        else:
            path = resolve(settings.pretrained or "")
            lm = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa", use_safetensors=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"language model: {str(error).splitlines()[0]}") from None
    if lm.get_input_embeddings().num_embeddings < vocabulary:
        lm.resize_token_embeddings(vocabulary)
    missing = [name for name in ("embed_tokens", "layers", "rotary_emb", "norm") if not hasattr(lm.model, name)]
    if missing:
        raise ConfigError(f"language model {type(lm).__name__}: no {missing[0]}; expected a stack like Mistral's")
    return cast(nn.Module, lm)


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
) -> Float[Tensor, "B T D"]:
    """Return the normed hidden states after the last layer. cache: transformers' KV cache, extended in place."""
    stack = cast(Any, lm).model
    hidden_BTD = stack.embed_tokens(input_ids_BT)
    rotary = stack.rotary_emb(hidden_BTD, position_ids=position_ids_BT)
    for i, layer in enumerate(stack.layers):
        hidden_BTD = layer(
            between(i, hidden_BTD),
            attention_mask=mask_BTS,
            position_ids=position_ids_BT,
            past_key_values=cache,
            use_cache=cache is not None,
            position_embeddings=rotary,
        )
    return cast(Tensor, stack.norm(hidden_BTD))
