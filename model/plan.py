"""What a training recipe will take, said before it starts: parameters and memory, by formula, without weights.

Memory in bytes, of one device that holds all of it:
    weights      4 per parameter; 2 for frozen vision and decoder layers under bf16
    gradients    4 per parameter that trains;  optimizer: 8, AdamW's two moments
    activations  a = 2 under bf16, else 4, per number kept for backward; of one forward pass of `micro_rows` rows:
        decoder layer, per slot       a * (2D + Q + 2F), and a * (3D + F) more where the language model trains
        gated block, per slot         a * (4D + 2q + 2f)
        perceiver layer, per image    a * ((P + L)(V + 2q) + L(3V + 2g))
        keys and values, per image    a * 2 * L * q of each block
    activation checkpointing          4D per slot and layer, what enters it; and all of one layer and its block
    scores       per slot, or per token of `loss_chunk`: (a + 8) * vocabulary: as computed, in fp32, their gradient
D, V: widths of text and vision; Q: queries, keys and values together; F: width of the feed-forward; q, f and q, g: the
same of block and perceiver; P tokens and L latents per image, L = P without a perceiver. Layers below the first part
that trains are counted like the others. Not counted: the frozen vision tower at work (it keeps nothing) and what the
allocator holds back (some percent).

Of N ranks with FSDP2, weights but those of the vision tower, gradients and moments are divided by N. Beside them stands
what is whole while it works, `gathered`: two of the largest unit, the one at work and the next, in the type in which it
works, with fp32 gradients of one where it trains; embeddings, last norm and head, which are in no unit, in fp32, with
the gradients of what trains of them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from infimm_data.errors import ConfigError
from infimm_data.files import LOCAL_DIR_PREFIX, resolve
from model.config import LanguageSettings, ModelSettings, TrainConfig
from model.infimm import InfiMM, build_model, vision_of
from model.parallel import units_of
from model.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PartSize:
    """Parameters of a part of the model, and how many of them train."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; see the module. gathered: 0 where nothing is sharded."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    scores: float
    gathered: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.scores + self.gathered


def model_without_weights(settings: ModelSettings, tokenizer: Tokenizer) -> InfiMM:
    """Return the model of a recipe on the meta device: shapes without memory. Reads configs, not weights.

    A vision tower from a folder is read whole, as open_clip does. Raises ConfigError for a config that cannot be had.
    """
    language, vision = settings.language, settings.vision
    if language.pretrained is not None:
        from transformers import AutoConfig  # heavy

        try:
            config = AutoConfig.from_pretrained(resolve(language.pretrained)).to_dict()
        except (OSError, ValueError) as error:
            raise ConfigError(f"language model: {str(error).splitlines()[0]}") from None
        language = LanguageSettings(config={"vocab_size": tokenizer.size, **config})
    if not vision.name.startswith(LOCAL_DIR_PREFIX):
        vision = vision.model_copy(update={"pretrained": None})
        with torch.device("meta"), _without_warnings():
            return build_model(settings.model_copy(update={"language": language, "vision": vision}), tokenizer)
    return build_model(settings.model_copy(update={"language": language}), tokenizer).to("meta")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Within it, nobody says that weights were not loaded: they are left out on purpose."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def parts_of(model: InfiMM) -> list[PartSize]:
    """Return the parts as they train now (`set_trainable` comes before)."""
    named = {"vision": model.vision, "perceiver": model.perceiver, "cross_attention": model.cross_attention}
    found = [_size(name, list(part.parameters())) for name, part in named.items() if part is not None]
    embeddings = list(_embeddings(model).parameters())
    rest = [p for p in model.language.parameters() if not any(p is one for one in embeddings)]
    return [*found, _size("embeddings", embeddings), _size("language", rest)]


def memory_of(model: InfiMM, config: TrainConfig, *, images_per_row: float, ranks: int = 1) -> Memory:
    """Return what a step takes on each of `ranks` devices, with `micro_rows` rows in a forward pass.

    ranks: above 1, sharded as `config.parallel` says; a share of all rows where the recipe has no `micro_rows`.
    """
    is_bf16, is_sharded = config.precision == "bf16", ranks > 1 and config.parallel != "ddp"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    whole = sum(p.numel() for p in model.vision.parameters()) if is_sharded else 0
    share, each = ranks if is_sharded else 1, 2 if is_bf16 else 4
    rows = config.micro_rows or max(config.rows_per_step // ranks, 1)
    slots = rows * config.stream.row_tokens
    lm = cast(Any, model.language).config
    return Memory(
        weights=each * whole + (4 * trained + each * (frozen - whole)) / share,
        gradients=4 * trained / share,
        optimizer=8 * trained / share,
        activations=slots * _kept_per_slot(model, config) + rows * images_per_row * _kept_per_image(model, config),
        scores=min(slots, config.loss_chunk or slots) * lm.vocab_size * (each + 8),
        gathered=_gathered(model, each) if is_sharded else 0.0,
    )


def _gathered(model: InfiMM, each: int) -> float:
    """Return the bytes of what a sharded step makes whole; each: bytes per number in a decoder layer."""
    connectors, layers = units_of(model)
    in_units = {id(p) for unit in (model.vision, *connectors, *layers) for p in unit.parameters()}
    outside = [p for p in model.parameters() if id(p) not in in_units]
    largest = max(4 * max(map(_size_of, connectors)), each * max(map(_size_of, layers)))
    gradients = max(_numbers(p for p in unit.parameters() if p.requires_grad) for unit in (*connectors, *layers))
    return 2 * largest + 4 * gradients + 4 * _numbers(outside) + 4 * _numbers(p for p in outside if p.requires_grad)


def _kept_per_slot(model: InfiMM, config: TrainConfig) -> float:
    """Return the bytes that decoder layers and blocks keep of one slot."""
    each, lm = 2 if config.precision == "bf16" else 4, cast(Any, model.language).config
    width, heads = lm.hidden_size, lm.num_attention_heads
    head = getattr(lm, "head_dim", None) or width // heads
    asked = (heads + 2 * (getattr(lm, "num_key_value_heads", None) or heads)) * head
    layer = 2 * width + asked + 2 * lm.intermediate_size
    if any(p.requires_grad for name, p in model.language.named_parameters() if "layers" in name):
        layer += 3 * width + lm.intermediate_size
    block = config.model.cross_attention
    gated = 4 * width + 2 * block.heads * block.head_width + 2 * block.ff_multiple * width
    if config.activation_checkpointing:
        return float(lm.num_hidden_layers * 4 * width + each * (layer + gated))
    return float(each * (lm.num_hidden_layers * layer + len(model.cross_attention) * gated))


def _size_of(unit: nn.Module) -> int:
    return _numbers(unit.parameters())


def _numbers(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def _size(name: str, parameters: Sequence[nn.Parameter]) -> PartSize:
    return PartSize(name, sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad))


def _embeddings(model: InfiMM) -> nn.Module:
    return cast(nn.Module, cast(Any, model.language).get_input_embeddings())


@torch.no_grad()
def _kept_per_image(model: InfiMM, config: TrainConfig) -> float:
    """Return the bytes that perceiver, keys and values keep of one image."""
    sizes, tower, block = config.model.perceiver, vision_of(model), config.model.cross_attention
    device = next(tower.parameters()).device
    latents = patches = tower(torch.zeros(1, 3, tower.image_side, tower.image_side, device=device)).shape[1]
    kept = 0
    if sizes is not None:
        inner, width, latents = sizes.heads * sizes.head_width, tower.width, sizes.latents
        layer = (patches + latents) * (width + 2 * inner) + latents * (3 * width + 2 * sizes.ff_multiple * width)
        kept = sizes.layers * layer
    kept += len(model.cross_attention) * 2 * latents * block.heads * block.head_width
    return float((2 if config.precision == "bf16" else 4) * kept)
