"""What a training recipe will take, said before it starts: parameters and memory, by formula, without weights.

Memory in bytes, of one device that holds all of it:
    weights      4 per parameter; 2 for frozen vision and decoder layers under bf16
    gradients    4 per parameter that trains;  optimizer: 8, AdamW's two moments
    activations  a = 2 under bf16, else 4, per number kept for backward; of one forward pass of `micro_rows` rows:
        decoder layer, per slot       a * (2D + Q + 2F), and a * (3D + F) more where the language model trains
        gated block, per slot         a * (4D + 2q + 2f)
        perceiver layer, per image    a * ((P + L)(V + 2q) + L(3V + 2g))
        scores, per slot              (a + 8) * vocabulary: as computed, in fp32, and their gradient
D, V: widths of text and vision; Q: queries, keys and values together; F: width of the feed-forward; q, f and q, g: the
same of block and perceiver; P tokens and L latents per image. Layers below the first part that trains are counted like
the others. Not counted: the frozen vision tower at work (it keeps nothing), what the allocator holds back (some
percent), and what activation checkpointing saves. Sharding divides weights, gradients and moments by the ranks.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from infimm_data.errors import ConfigError
from infimm_data.files import LOCAL_DIR_PREFIX, resolve
from model.config import LanguageSettings, ModelSettings, TrainConfig
from model.infimm import InfiMM, build_model, vision_of
from model.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PartSize:
    """Parameters of a part of the model, and how many of them train."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; see the module."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    scores: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.scores


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


def memory_of(model: InfiMM, config: TrainConfig, *, images_per_row: float) -> Memory:
    """Return what a step takes on one device, with `micro_rows` rows in a forward pass."""
    is_bf16 = config.precision == "bf16"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    rows = config.micro_rows or config.rows_per_step
    slots, images = rows * config.stream.row_tokens, rows * images_per_row
    number = 2 if is_bf16 else 4
    lm = cast(Any, model.language).config
    width, heads = lm.hidden_size, lm.num_attention_heads
    head = getattr(lm, "head_dim", None) or width // heads
    asked = (heads + 2 * (getattr(lm, "num_key_value_heads", None) or heads)) * head
    kept = 2 * width + asked + 2 * lm.intermediate_size
    if any(p.requires_grad for name, p in model.language.named_parameters() if "layers" in name):
        kept += 3 * width + lm.intermediate_size
    block = config.model.cross_attention
    blocks = len(model.cross_attention)
    gated = 4 * width + 2 * block.heads * block.head_width + 2 * block.ff_multiple * width
    per_slot = lm.num_hidden_layers * kept + blocks * gated
    activations = number * (slots * per_slot + images * _kept_per_image(model, config))
    return Memory(
        weights=4 * trained + (2 if is_bf16 else 4) * frozen, gradients=4 * trained, optimizer=8 * trained,
        activations=activations, scores=slots * lm.vocab_size * (number + 8),
    )  # fmt: skip


def _size(name: str, parameters: Sequence[nn.Parameter]) -> PartSize:
    return PartSize(name, sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad))


def _embeddings(model: InfiMM) -> nn.Module:
    return cast(nn.Module, cast(Any, model.language).get_input_embeddings())


@torch.no_grad()
def _kept_per_image(model: InfiMM, config: TrainConfig) -> float:
    """Return the numbers that the perceiver keeps of one image."""
    sizes = config.model.perceiver
    if sizes is None:
        return 0.0
    tower = vision_of(model)
    device = next(tower.parameters()).device
    patches = tower(torch.zeros(1, 3, tower.image_side, tower.image_side, device=device)).shape[1]
    inner, width, latents = sizes.heads * sizes.head_width, tower.width, sizes.latents
    layer = (patches + latents) * (width + 2 * inner) + latents * (3 * width + 2 * sizes.ff_multiple * width)
    return float(sizes.layers * layer)
