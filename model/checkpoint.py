"""Checkpoints, read: everything a run needs to go on as if it had never stopped; each folder whole or not there.

OUT/checkpoints/step-00000100/
  config.json              the recipe, the step, the stream's position, fingerprints of what stands elsewhere
  tensors/*.safetensors    file 1 of each rank: weights; file 2: AdamW's moments and the random state
  tokenizer/

Any number of ranks reads what any number wrote. Nothing in it is a pickle.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.config import TrainConfig
from model.infimm import InfiMM, build_model, vision_of
from model.tokenizer import Tokenizer, load_tokenizer
from model.train_state import WEIGHT, language_fingerprint, weights

log = logging.getLogger(__name__)

FORMAT = 2  # of the folder; raise it when a file changes meaning

PREFIX = "step-"
TENSORS = "tensors"
FREE = {
    "steps", "log_every", "evaluate_every", "checkpoint_every", "keep_checkpoints", "device", "threads", "micro_rows",
    "loss_chunk", "parallel", "activation_checkpointing", "compile", "feature_cache", "tensorboard", "peak_tflops",
}  # fmt: skip
"""Settings that a run may change when it goes on: how long, how often, where and how, but not what it computes."""

Shapes = dict[str, tuple[int, ...]]


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
    return sorted(one for one in folder.glob(f"{PREFIX}*") if one.name.removeprefix(PREFIX).isdecimal())


def remove_checkpoints_after(out: str, step: int) -> None:
    """Remove the checkpoints of later steps: they belong to a run that this one replaces, and would outlive its own."""
    for folder in checkpoints(out):
        if int(folder.name.removeprefix(PREFIX)) > step:
            shutil.rmtree(folder)


def load_model(path: str, *, device: str = "cpu") -> LoadedModel:
    """Return the model of a checkpoint folder, or of the last checkpoint of a run's folder, in one type of numbers.

    Raises ConfigError when there is none, or when its files are not what a checkpoint holds.
    """
    folder = find_checkpoint(path)
    about = read_about(folder)
    config = parse_settings(about["config"], TrainConfig, where=f"{folder}/config.json")
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    model = build_model(config.model, tokenizer)
    load_into(model, folder)
    if len({p.dtype for p in model.parameters()}) > 1:  # a language model in bf16 beside our parts in fp32
        model.float()
    return LoadedModel(model.to(device).eval(), tokenizer, config, about["step"])


def load_into(model: InfiMM, folder: Path) -> None:
    """Fill the weights of a whole model, as it was built, from a checkpoint.

    Raises ConfigError when a weight is missing, extra or of another shape, or when a part that the checkpoint leaves
    out is another one.
    """
    left_out = read_about(folder)["elsewhere"]
    check_elsewhere(model, folder, left_out)
    read_tensors(folder, weights(model, left_out), only=WEIGHT)


def check_elsewhere(model: InfiMM, folder: Path, left_out: dict[str, str]) -> None:
    """Raise ConfigError when the vision tower, or a frozen language model, is not the one that a run trained on."""
    fingerprints = {"vision": lambda: vision_of(model).fingerprint(), "language": lambda: language_fingerprint(model)}
    for part, expected in left_out.items():
        found = fingerprints[part]()
        if found != expected:
            what = "vision tower" if part == "vision" else "language model"
            raise ConfigError(
                f"{folder}: trained on a {what} with weights {expected}, but the recipe's has {found}; "
                f"point model.{part} at the weights of the training run"
            )


def shapes_of(folder: Path) -> Shapes:
    """Return name -> shape of every tensor in a checkpoint; raises ConfigError when a file cannot be read."""
    try:
        metadata = HuggingFaceStorageReader(str(folder / TENSORS)).read_metadata()
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{folder}/{TENSORS}: cannot be read: {' '.join(str(error).split())[:300]}; "
            "without this folder a run goes on from the checkpoint before"
        ) from None
    return {name: tuple(about.size) for name, about in metadata.state_dict_metadata.items()}  # type: ignore[union-attr]  # tensors alone


def read_tensors(folder: Path, wanted: dict[str, Tensor], *, only: str = "", is_alone: bool = True) -> None:
    """Fill tensors, whole or sharded, in place; every tensor whose name begins with `only` must be wanted.

    is_alone: whether this process reads for itself, or every rank of the process group together. Raises ConfigError
    naming a tensor that is missing, extra or of another shape.
    """
    there = shapes_of(folder)
    where = f"{folder}/{TENSORS}: does not fit the recipe:"
    for name, tensor in wanted.items():
        if name not in there:
            raise ConfigError(f"{where} {name.partition('.')[2]} is missing")
        if tuple(tensor.shape) != there[name]:
            expected = list(tensor.shape)
            raise ConfigError(f"{where} {name.partition('.')[2]} is {list(there[name])}, expected {expected}")
    extra = [name for name in there if name.startswith(only) and name not in wanted]
    expect_one_process()
    if only and extra:
        raise ConfigError(f"{where} {extra[0].partition('.')[2]} is not a weight of the model")
    try:
        load(wanted, storage_reader=HuggingFaceStorageReader(str(folder / TENSORS)), no_dist=is_alone)
    except (CheckpointException, SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise ConfigError(f"{where} {' '.join(str(error).split())[:300]}") from None


def expect_one_process() -> None:
    """Silence torch's warning, at every save and load, that without a process group it takes one process for all.

    For the whole process: a save warns from its own thread, where filters cannot be set for a while.
    """
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


def check_recipe(folder: Path, config: TrainConfig) -> dict[str, Any]:
    """Return config.json of a checkpoint that a run goes on from.

    Raises ConfigError when the recipe differs in more than `FREE`, or asks for fewer steps than were done.
    """
    about = read_about(folder)
    began = parse_settings(about["config"], TrainConfig, where=f"{folder}/config.json")  # newer settings: as default
    was, now = (one.model_dump(mode="json", exclude=FREE) for one in (began, config))
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    if changed:
        raise ConfigError(
            f"{folder}: the recipe has changed in '{changed[0]}' since this run began; use the old recipe, "
            "or start a new run with another --out"
        )
    if about["step"] > config.steps:
        asked = f"the run is at step {about['step']}, but the recipe asks for {config.steps} in all"
        raise ConfigError(f"{folder}: {asked}; raise 'steps', or start anew with --restart")
    if began.steps != config.steps and config.optimizer.schedule != "constant":
        kind = config.optimizer.schedule
        log.warning("steps: %d, was %d: the %s schedule is another from here on", config.steps, began.steps, kind)
    return about


def find_checkpoint(path: str) -> Path:
    """Return a checkpoint's folder, or the last one of a run; raises ConfigError when there is none."""
    folder = Path(path)
    if (folder / "config.json").is_file():
        return folder
    finished = checkpoints(path)
    if not finished:
        raise ConfigError(f"{path}: no checkpoint; expected a folder step-* or the --out of a training run")
    return finished[-1]


def read_about(folder: Path) -> dict[str, Any]:
    """Return config.json of a checkpoint; raises ConfigError when it is none, or of another version."""
    try:
        about: dict[str, Any] = json.loads((folder / "config.json").read_text())
        if about["format"] > FORMAT:
            raise ConfigError(f"{folder}: format {about['format']}, this version reads up to {FORMAT}; update infimm")
        if about["format"] < FORMAT:
            raise ConfigError(f"{folder}: format {about['format']} of an older version; train anew with another --out")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder}/config.json: not a checkpoint's ({error!r})") from None
    return about
