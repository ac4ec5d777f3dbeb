"""The first weights of a run from an earlier stage: pretraining, then multi-task, then instructions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infimm_data.errors import ConfigError
from model.checkpoint import load_model
from model.export import is_published
from model.infimm import InfiMM


@torch.no_grad()
def start_from(model: InfiMM, path: str) -> None:
    """Fill a model with the weights of a run, a checkpoint or a folder in the published layout.

    Its optimizer, schedule and place in the data are not taken. Raises ConfigError when there is no model, or when one
    of its weights is not one of this recipe's.
    """
    source: Any = InfiMM.from_pretrained(path) if is_published(path) else load_model(path).model
    found: dict[str, Tensor] = dict(source.named_parameters())
    for name, parameter in model.named_parameters():
        other = found.pop(name, None)
        if other is None or other.shape != parameter.shape:
            has = "lacks it" if other is None else f"has {list(other.shape)}"
            raise ConfigError(f"--from {path}: {name} is {list(parameter.shape)} in the recipe, but it {has}")
        parameter.copy_(other)
    if found:
        raise ConfigError(f"--from {path}: {next(iter(found))} is not a weight of the recipe's model")
