"""Checkpoints: everything a run needs to go on as if it had never stopped; each folder whole or not there.

OUT/checkpoints/step-00000100/
  config.json         the recipe, the step, the fingerprint of the vision tower
  model.safetensors   all weights but the frozen vision tower's
  training.pt         optimizer, random state, stream position (plain data and tensors, loaded as such)
  tokenizer/
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from torch import nn

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.config import TrainConfig
from model.infimm import InfiMM, build_model, vision_of
from model.tokenizer import Tokenizer, load_tokenizer

FORMAT = 1  # of the folder; raise it when a file changes meaning

_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A trained model, ready for generation (evaluation mode)."""

    model: InfiMM
    tokenizer: Tokenizer
    config: TrainConfig
    step: int


def checkpoints(out: str) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    folder = Path(out) / "checkpoints"
    return sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []


def remove_checkpoints_after(out: str, step: int) -> None:
    """Remove the checkpoints of later steps: they belong to a run that this one replaces, and would outlive its own."""
    for folder in checkpoints(out):
        if int(folder.name.removeprefix(_PREFIX)) > step:
            shutil.rmtree(folder)


def save_checkpoint(
    out: str,
    *,
    step: int,
    model: InfiMM,
    tokenizer: Tokenizer,
    config: TrainConfig,
    training: dict[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of a step and remove all but the last `keep`; return its folder.

    training: plain data and tensors. A crash leaves the finished ones and perhaps a `.part-*` folder, which no
    reader looks at and the next save removes.
    """
    folder = Path(out) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".part-*"):
        shutil.rmtree(leftover)
    part = folder / f".part-{uuid.uuid4().hex}"
    part.mkdir()
    save_weights(_stored(model), str(part / "model.safetensors"))
    torch.save(training, part / "training.pt")
    tokenizer.save(str(part / "tokenizer"))
    about = {
        "format": FORMAT,
        "step": step,
        "vision": vision_of(model).fingerprint(),
        "config": config.model_dump(mode="json"),
    }
    (part / "config.json").write_text(json.dumps(about, indent=1) + "\n")
    _sync(part)
    place = folder / f"{_PREFIX}{step:08d}"
    if place.exists():
        shutil.rmtree(place)
    os.replace(part, place)
    for old in checkpoints(out)[:-keep]:
        shutil.rmtree(old)
    return place


def load_model(path: str, *, device: str = "cpu") -> LoadedModel:
    """Return the model of a checkpoint folder, or of the last checkpoint of a run's folder.

    Raises ConfigError when there is none, or when its files are not what a checkpoint holds.
    """
    folder = _find(path)
    about = _about(folder)
    config = parse_settings(about["config"], TrainConfig, where=f"{folder}/config.json")
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    model = build_model(config.model, tokenizer)
    load_into(model, folder)
    return LoadedModel(model.to(device).eval(), tokenizer, config, about["step"])


def load_into(model: InfiMM, folder: Path) -> None:
    """Fill the weights of a model from a checkpoint.

    Raises ConfigError when a weight is missing, extra or of another shape, or when the vision tower is another one.
    """
    found, expected = vision_of(model).fingerprint(), _about(folder)["vision"]
    if found != expected:
        raise ConfigError(
            f"{folder}: trained on a vision tower with weights {expected}, but the recipe's has {found}; "
            "point model.vision at the weights of the training run"
        )
    try:
        load_weights(_stored(model), str(folder / "model.safetensors"))
    except (RuntimeError, SafetensorError, OSError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{folder}/model.safetensors: does not fit the recipe: {problem[:300]}") from None


def load_training(folder: Path, config: TrainConfig) -> tuple[int, dict[str, Any]]:
    """Return the step and the training state of a checkpoint.

    Raises ConfigError when the recipe differs in more than how long, how often and where it runs.
    """
    about = _about(folder)
    free = {"steps", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints", "device", "threads"}
    began = parse_settings(about["config"], TrainConfig, where=f"{folder}/config.json")  # newer settings: as default
    was, now = (one.model_dump(mode="json", exclude=free) for one in (began, config))
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    if changed:
        raise ConfigError(
            f"{folder}: the recipe has changed in '{changed[0]}' since this run began; use the old recipe, "
            "or start a new run with another --out"
        )
    return about["step"], torch.load(folder / "training.pt", map_location="cpu", weights_only=True)


def _find(path: str) -> Path:
    folder = Path(path)
    if (folder / "config.json").is_file():
        return folder
    finished = checkpoints(path)
    if not finished:
        raise ConfigError(f"{path}: no checkpoint; expected a folder step-* or the --out of a training run")
    return finished[-1]


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / "config.json").read_text())
        if about["format"] > FORMAT:
            raise ConfigError(f"{folder}: format {about['format']}, this version reads up to {FORMAT}; update infimm")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder}/config.json: not a checkpoint's ({error!r})") from None
    return about


def _stored(model: InfiMM) -> nn.Module:
    """Return the parts of the model that a checkpoint holds, under their names in the model."""
    return nn.ModuleDict({name: part for name, part in model.named_children() if name != "vision"})


def _sync(folder: Path) -> None:
    """Flush every file to disk, so that the rename never shows a folder of empty files after a power cut."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
