"""Weight files as published models come: safetensors or PyTorch's, in one file or several with an index.

Tensors stay in their file (mapped) until they are used. Nothing is unpickled but tensors (`weights_only`).
"""

from __future__ import annotations

import json
import os
import pickle
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from infimm_data.errors import ConfigError

PREFIX = "model."
"""What every published weight's name starts with; a file without any such name holds something else."""

_NAMES = (("model.safetensors", "*.safetensors"), ("pytorch_model.bin", "*.bin"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raises ConfigError when there is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a JSON file that can be read ({error})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {type(found).__name__}, expected a JSON object")
    return found


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a folder by their names in the files.

    Taken is the first of: an index and its files, the one file of the usual name, all files of the kind that hold
    weights; safetensors before PyTorch's. Raises ConfigError when there are none, when an index names a file that is
    not there or a weight that its file lacks, or when a file cannot be read.
    """
    for usual, pattern in _NAMES:
        index = folder / f"{usual}.index.json"
        if index.is_file():
            return _by_index(index)
        if (folder / usual).is_file():
            return read_file(folder / usual)
        found = [read_file(path) for path in sorted(folder.glob(pattern))]
        found = [weights for weights in found if any(name.startswith(PREFIX) for name in weights)]
        if found:
            return _joined(found, str(folder))
    raise ConfigError(f"{folder}: no weights; expected model.safetensors, pytorch_model.bin, or one with an index")


def read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one file; raises ConfigError when it is damaged or holds anything else."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        found = _load(path)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: not a weight file that can be read safely ({problem})") from None
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ConfigError(f"{path}: expected a plain mapping from names to tensors")
    return found


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # written before torch 1.6, or on another file system: not to be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def _by_index(index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ConfigError(f"{index}: no 'weight_map' from weights to files")
    found = {}
    for name in sorted(set(places.values())):
        path = index.parent / name
        if Path(name).name != name or not path.is_file():
            raise ConfigError(f"{index}: names the file '{name}', which is not beside it")
        found[name] = read_file(path)
    lost = sorted(weight for weight, name in places.items() if weight not in found[name])
    if lost:
        raise ConfigError(f"{index}: {len(lost)} weights are not in their file, first '{lost[0]}'")
    return _joined(list(found.values()), str(index))


def _joined(parts: list[dict[str, Tensor]], where: str) -> dict[str, Tensor]:
    joined: dict[str, Tensor] = {}
    for part in parts:
        twice = joined.keys() & part.keys()
        if twice:
            raise ConfigError(f"{where}: '{min(twice)}' stands in two files")
        joined |= part
    return joined


def write_weights(folder: Path, weights: Mapping[str, Tensor], *, max_shard_bytes: int) -> None:
    """Write model.safetensors, or shards of at most `max_shard_bytes` each (a larger tensor alone) and their index.

    Each file appears whole or not at all, the index last; weight files of an earlier save in the folder go.
    """
    for old in (*folder.glob("model*.safetensors"), *folder.glob("model.safetensors.index.json")):
        old.unlink()
    shards: list[dict[str, Tensor]] = [{}]
    free = max_shard_bytes
    for name, tensor in weights.items():
        size = tensor.numel() * tensor.element_size()
        if size > free and shards[-1]:
            shards.append({})
            free = max_shard_bytes
        shards[-1][name] = tensor
        free -= size
    if len(shards) == 1:
        _write(folder / "model.safetensors", shards[0])
        return
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    for file, shard in zip(names, shards, strict=True):
        _write(folder / file, shard)
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    places = {weight: file for file, shard in zip(names, shards, strict=True) for weight in shard}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    part = path.with_name(f".part-{uuid.uuid4().hex}")
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, path)


def _write(path: Path, weights: Mapping[str, Tensor]) -> None:
    part = path.with_name(f".part-{uuid.uuid4().hex}")
    # A copy of what shares memory (tied weights, views): safetensors wants each tensor its own and whole.
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, part, {"format": "pt"})
    os.replace(part, path)
