"""Rows through the `datasets` library: a dataset's name on the hub, or a folder that it can load; streamed by shard."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from infimm_data.errors import ConfigError, SourceError
from pipelines.records.files import Record
from pipelines.sources.contract import Skipped, WorkItem

PREFIX = "datasets:"
_NAMED = re.compile(r"(?P<name>[^#@]+)(?:#(?P<subset>[^@]+))?(?:@(?P<revision>.+))?")


def hub_items(path: str, split: str) -> list[WorkItem]:
    """Return one work item per shard of a split.

    path: "datasets:NAME", "datasets:NAME#SUBSET@REVISION"; NAME: on the hub, or a local folder. Without a revision
    it is the hub's newest, which may change between two builds. Raises ConfigError where it cannot be loaded.
    """
    try:
        shards = int(_load(path, split).num_shards)
    except SourceError as error:
        raise ConfigError(str(error)) from None
    name = path.removeprefix(PREFIX)
    shown = os.path.basename(os.path.normpath(name)) if os.path.isdir(name) else name
    return [
        WorkItem(index=n, name=f"{shown}/{split}-{n:05d}-of-{shards:05d}", path=path, size_bytes=0)
        for n in range(shards)
    ]


def hub_columns(item: WorkItem, split: str) -> tuple[str, ...]:
    """Return the columns of a split, () where the library does not tell them; raises SourceError."""
    return tuple(_load(item.path, split).column_names or ())


def hub_rows(
    item: WorkItem, split: str, columns: Collection[str] | None, required: Sequence[str]
) -> Iterator[Record | Skipped]:
    """Yield the rows of one shard; raises SourceError where it cannot be read, or lacks a required column."""
    whole = _load(item.path, split)
    missing = [name for name in required if name not in (whole.column_names or required)]
    if missing:
        raise SourceError(f"{item.name}: no column {', '.join(missing)}; it has {', '.join(whole.column_names)}.")
    rows = iter(whole.shard(num_shards=whole.num_shards, index=item.index))
    number = 0
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # noqa: BLE001  # whatever a loader raises: what is behind it cannot be had
            yield Skipped(reason="damaged_record", offset=number, detail=f"{type(error).__name__}: {error}")
            return
        if row is None:
            return
        data = row if columns is None else {name: row[name] for name in columns if name in row}
        yield Record(item.name, number, dict(data))
        number += 1


def _load(path: str, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError(f"path '{path}' needs the datasets package; pip install -e '.[datasets]'") from None
    named = _NAMED.fullmatch(path.removeprefix(PREFIX))
    if named is None:
        raise ConfigError(f"path '{path}': expected datasets:NAME or datasets:NAME#SUBSET@REVISION")
    folder = named["name"]
    try:
        if os.path.exists(os.path.join(folder, "state.json")):  # what save_to_disk leaves
            saved = datasets.load_from_disk(folder)
            return saved.to_iterable_dataset(num_shards=max(1, len(saved.cache_files)))
        return datasets.load_dataset(folder, named["subset"], split=split, revision=named["revision"], streaming=True)
    except Exception as error:  # the library raises what its many readers raise; the cause is kept
        problem = str(error).partition("\n")[0]
        raise SourceError(
            f"datasets cannot load '{path}' (split {split}): {type(error).__name__}: {problem}. Check name and split."
        ) from error
