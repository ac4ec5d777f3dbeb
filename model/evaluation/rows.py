"""Rows of a published data set: Parquet as the hub holds it, a folder that `datasets` saved, TSV or JSON."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import ConfigError
from model.evaluation.answers import read_data
from model.evaluation.tasks.contract import Picture


def read_rows(path: str) -> list[dict[str, Any]]:
    """Return the rows of a file or folder as dicts; raises ConfigError in one line when it cannot be read."""
    place = Path(path)
    if place.is_dir() and (place / "state.json").is_file():
        return _saved_dataset(path)
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place] if path.endswith(".parquet") else []
    if place.is_dir() and not files:
        raise ConfigError(f"{path}: neither .parquet files nor a saved dataset in this folder")
    try:
        if files:
            return [row for file in files for row in pq.read_table(file).to_pylist()]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    data = read_data(path)
    if isinstance(data, dict):
        data = [{"id": key, **value} if isinstance(value, dict) else value for key, value in data.items()]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise ConfigError(f"{path}: expected rows of questions (Parquet, TSV, or a JSON list)")
    return data


def _saved_dataset(path: str) -> list[dict[str, Any]]:
    try:
        from datasets import Image, load_from_disk  # optional: only for folders that it saved
    except ImportError:
        raise ConfigError(f"{path}: a folder of the package 'datasets'; pip install datasets") from None
    found = load_from_disk(path)
    for name, feature in found.features.items():
        if isinstance(feature, Image):
            found = found.cast_column(name, Image(decode=False))
    return [dict(row) for row in found]


def picture_of(value: Any, name: str) -> Picture | None:
    """Return the picture in a cell: {bytes, path} as `datasets` stores it, bytes, or base64; None for an empty cell.

    Raises ConfigError when the cell holds something else.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
        if isinstance(value, str):
            return Picture(name=name, path=value)
    if value is None or value in ("", b""):
        return None
    if isinstance(value, bytes):
        return Picture(name=name, data=value)
    try:
        return Picture(name=name, data=base64.b64decode(value, validate=True))
    except (binascii.Error, TypeError, ValueError):
        raise ConfigError(f"{name}: not a picture; expected bytes, base64, or what 'datasets' stores") from None
