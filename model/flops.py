"""Floating-point operations of a training step with frozen parts, and the peaks that MFU is a share of.

A multiply-add counts 2. A matrix of n weights costs 2n per token forward, 2n for the gradient of its input where
anything before it trains, and 2n for its own where it trains: a frozen tower forward alone, a frozen language model
4n above the first part that trains and 2n below it (anchors 3.2 of training). Norms, softmax, gates and embeddings are
left out, as in all such counts; attention is counted causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from infimm_data.stream.batch import Batch
from infimm_data.stream.tokens import IGNORED
from model.infimm import InfiMM
from model.language import stack_of
from model.semantics import SEMANTICS

PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "B200": 2250.0, "L40S": 362.0, "A10G": 70.0}
"""bf16 without sparsity, SXM where there are several: NVIDIA's data sheets."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a step works on. pairs: (token, token at or before it) of self-attention; active: tokens on which a gated
    block acts; seeing: tokens that look at an image.
    """

    tokens: float
    pairs: float
    active: float
    seeing: float
    images: float

    def __add__(self, other: Work) -> Work:
        """Return both together."""
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


NO_WORK = Work(0, 0, 0, 0, 0)


def work_of(batch: Batch, semantics: str) -> tuple[Work, Work]:
    """Return what the hardware computes for a batch, and the part of it that teaches.

    The hardware: all slots, padding too, each with all slots before it in its row. What teaches: tokens that bear a
    label, with the tokens of their own document before them, and the images.
    """
    rows, slots = batch.input_ids.shape
    acts = SEMANTICS[semantics].acts(batch.image_index, batch.document_ids)
    sees = batch.image_index >= 0
    all_of_it = Work(rows * slots, rows * slots * (slots + 1) / 2, int(acts.sum()), int(sees.sum()), len(batch.images))
    is_target = batch.labels != IGNORED
    useful = Work(
        int(is_target.sum()),
        int(((batch.position_ids + 1) * is_target).sum()),
        int((acts & is_target).sum()),
        int((sees & is_target).sum()),
        len(batch.images),
    )
    return all_of_it, useful


@dataclass(frozen=True, slots=True)
class Flops:
    """Operations forward and backward per token, pair, active and seeing token, and image, of one model."""

    per_token: float
    per_pair: float
    per_active: float
    per_seeing: float
    per_image: float

    def of(self, work: Work) -> float:
        """Return the operations of a step."""
        return (
            self.per_token * work.tokens
            + self.per_pair * work.pairs
            + self.per_active * work.active
            + self.per_seeing * work.seeing
            + self.per_image * work.images
        )


def count_flops(model: InfiMM) -> Flops:
    """Return the operations of a model as it trains now (`set_trainable` comes before; sharding, if any, after).

    The vision tower, of any make, is counted by torch on one blank image; the rest by formula.
    """
    lm: Any = model.language
    stack = stack_of(model.language)
    decoder = getattr(lm, stack.root)
    blocks = [(int(i), cast(Any, block)) for i, block in model.cross_attention.items()]
    first = _first_trained(model, len(decoder.layers))
    per_token, per_pair = 0.0, 0.0
    config = lm.config
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for i, layer in enumerate(decoder.layers):
        flows = i >= first
        per_token += sum(_matrix(m.weight, flows=flows) for m in layer.modules() if isinstance(m, nn.Linear))
        per_pair += 4 * config.num_attention_heads * head_width * (3 if flows else 1)
    per_token += _matrix(lm.lm_head.weight, flows=first <= len(decoder.layers))
    per_active, per_seeing, per_image = 0.0, 0.0, _vision(model)
    latents, media_flows = _latents(model), model.perceiver is not None and _trains(model.perceiver)
    for i, block in blocks:
        flows, attn = i >= first, block.attn
        before = i > first or any(p.requires_grad for p in getattr(decoder, stack.embed).parameters())
        per_active += sum(_matrix(m.weight, flows=flows) for m in block.ff.modules() if isinstance(m, nn.Linear))
        norm_trains = before or attn.norm.weight.requires_grad
        per_seeing += _matrix(attn.to_q.weight, flows=norm_trains) + _matrix(attn.to_out.weight, flows=flows)
        asks = norm_trains or attn.to_q.weight.requires_grad  # else the scores' gradient stops at the keys
        per_seeing += 2 * attn.to_q.out_features * latents * (2 + (3 + asks if flows else 0))
        per_image += latents * _matrix(attn.to_kv.weight, flows=media_flows)
    if model.perceiver is not None:
        per_image += _perceiver(model, _vision_tokens(model), latents)
    return Flops(per_token, per_pair, per_active, per_seeing, per_image)


def peak_tflops(device: torch.device) -> float | None:
    """Return the peak of a device in bf16, None for one that `PEAK_TFLOPS` does not list."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in PEAK_TFLOPS.items() if known in name), None)


def _matrix(weight: Tensor, *, flows: bool) -> float:
    return 2.0 * weight.numel() * (1 + flows + weight.requires_grad)


def _trains(part: nn.Module) -> bool:
    return any(p.requires_grad for p in part.parameters())


def _first_trained(model: InfiMM, num_layers: int) -> int:
    """Return the first decoder layer that a gradient flows through, num_layers + 1 where nothing trains."""
    lm = cast(Any, model.language)
    if _trains(lm.get_input_embeddings()):
        return 0
    stack = stack_of(lm)
    layers = [i for i, layer in enumerate(getattr(lm, stack.root).layers) if _trains(layer)]
    has_media = model.perceiver is not None and _trains(model.perceiver)
    blocks = [int(i) for i, block in model.cross_attention.items() if has_media or _trains(block)]
    return min([*layers, *blocks, num_layers if _trains(lm.lm_head) else num_layers + 1])


def _latents(model: InfiMM) -> int:
    return _vision_tokens(model) if model.perceiver is None else int(cast(Any, model.perceiver).latents.shape[0])


def _blank(model: InfiMM) -> Tensor:
    side = cast(Any, model.vision).image_side
    return torch.zeros(1, 3, side, side, dtype=torch.uint8, device=next(model.vision.parameters()).device)


@torch.no_grad()
def _vision_tokens(model: InfiMM) -> int:
    return int(model.vision(_blank(model)).shape[1])


@torch.no_grad()
def _vision(model: InfiMM) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        model.vision(_blank(model))
    return float(counter.get_total_flops())


def _perceiver(model: InfiMM, patches: int, latents: int) -> float:
    """Return forward and backward for one image: every matrix has something before it that trains, if it trains."""
    trains, total = _trains(cast(nn.Module, model.perceiver)), 0.0
    for attention, ff in cast(Any, model.perceiver).layers:
        inner = attention.to_q.out_features
        total += (patches + latents) * _matrix(attention.to_kv.weight, flows=trains)
        total += latents * (
            _matrix(attention.to_q.weight, flows=trains) + _matrix(attention.to_out.weight, flows=trains)
        )
        total += 4 * latents * (patches + latents) * inner * (3 if trains else 1)
        total += latents * sum(_matrix(m.weight, flows=trains) for m in ff.modules() if isinstance(m, nn.Linear))
    return total
