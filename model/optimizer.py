"""AdamW and its learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from model.config import OptimizerSettings


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Return AdamW over what is trainable; weight decay only on the matrices of linear layers.

    Gates, norms, biases, embeddings and latents do not decay: a decayed gate closes by itself.
    """
    decayed = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Linear) and module.weight.requires_grad
    } - {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if id(p) in decayed], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=True)


def learning_rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Return the rate of optimizer step `step` (from 0) of `steps`: linear warm-up, then constant, linear or cosine.

    The first step has peak / (warmup_steps + 1); the step after the warm-up is the first at the peak. Linear and cosine
    reach `min_learning_rate` after the last step.
    """
    peak = settings.learning_rate
    if step < settings.warmup_steps:
        return peak * (step + 1) / (settings.warmup_steps + 1)
    if settings.schedule == "constant":
        return peak
    done = (step - settings.warmup_steps) / max(steps - settings.warmup_steps, 1)
    left = 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return settings.min_learning_rate + (peak - settings.min_learning_rate) * left
