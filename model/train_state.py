"""The tensors of a training run: weights, AdamW's moments, random state; how they are named, and put back in place.

What stands elsewhere is not written again with each checkpoint: the frozen vision tower, and the decoder layers of a
frozen language model that was loaded. A fingerprint says which one it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from model.config import ModelSettings, Part
from model.infimm import InfiMM, vision_of
from model.language import stack_of

SAMPLED = 4096  # values of each tensor in a language model's fingerprint: 7 billion weights in seconds, not minutes

WEIGHT, MOMENT, RANDOM = "model.", "optimizer.", "random."
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, beside its `step`


def elsewhere(model: InfiMM, settings: ModelSettings, train: Iterable[Part]) -> dict[str, str]:
    """Return part -> fingerprint of what a checkpoint leaves out; call it while the model is as it was loaded."""
    found = {"vision": vision_of(model).fingerprint()}
    if settings.language.pretrained is not None and "language" not in train:
        found["language"] = language_fingerprint(model)
    return found


def language_fingerprint(model: InfiMM) -> str:
    """Return 16 hex digits over names, shapes and `SAMPLED` values of each tensor of the decoder layers."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(_layers(model).named_parameters()):
        flat = tensor.detach().flatten()
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(flat[:: max(len(flat) // SAMPLED, 1)].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _layers(model: InfiMM) -> nn.Module:
    return cast(nn.Module, getattr(cast(Any, model.language), stack_of(model.language).root).layers)


def stored_parameters(model: InfiMM, left_out: Iterable[str]) -> dict[str, nn.Parameter]:
    """Return name -> parameter of what a checkpoint holds; left_out: the parts that stand elsewhere."""
    parts = {"vision": model.vision, "language": _layers(model)}
    apart = {id(p) for name in left_out for p in parts[name].parameters()}
    return {name: p for name, p in model.named_parameters() if id(p) not in apart}


def weights(model: InfiMM, left_out: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights under their names in a checkpoint; the tensors are the model's own."""
    return {WEIGHT + name: p.detach() for name, p in stored_parameters(model, left_out).items()}


def moments(model: InfiMM, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return AdamW's state under its names in a checkpoint; the moments are the optimizer's own."""
    found: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        if state := optimizer.state.get(p):
            found |= {f"{MOMENT}{kind}.{name}": state[kind] for kind in _MOMENTS}
            found[f"{MOMENT}step.{name}"] = state["step"].reshape(1)
    return found


def empty_moments(
    model: InfiMM, optimizer: torch.optim.Optimizer, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Give the optimizer the state that a checkpoint has, as zeros to be filled, and return it; shapes: what it has."""
    found: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        if f"{MOMENT}step.{name}" in shapes and p.requires_grad:
            optimizer.state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=p.device),
                **{kind: torch.zeros_like(p.detach()) for kind in _MOMENTS},
            }
            found |= {f"{MOMENT}{kind}.{name}": optimizer.state[p][kind] for kind in _MOMENTS}
            found[f"{MOMENT}step.{name}"] = optimizer.state[p]["step"].view(1)
    return found


def random_state(rank: int, device: torch.device) -> dict[str, Tensor]:
    """Return this rank's random state."""
    found = {f"{RANDOM}cpu.{rank}": torch.get_rng_state()}
    return found | ({f"{RANDOM}cuda.{rank}": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(found: Mapping[str, Tensor], rank: int, device: torch.device) -> None:
    """Put back what `random_state` gave; a rank that was not there keeps its own."""
    if (cpu := found.get(f"{RANDOM}cpu.{rank}")) is not None:
        torch.set_rng_state(cpu)
    if device.type == "cuda" and (cuda := found.get(f"{RANDOM}cuda.{rank}")) is not None:
        torch.cuda.set_rng_state(cuda, device)
