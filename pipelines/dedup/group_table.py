"""The groups that a comparison found, as one table over all documents in dump order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.tables import read_table, read_tables, write_tables
from pipelines.dedup.components import MEMBER
from pipelines.dedup.segments import read_segments
from pipelines.dedup.signatures import Part
from pipelines.dedup.stages import Plan
from pipelines.facts import EARLIER


def write_groups(plan: Plan, name: str, members: Sequence[str], path: str, print_: str) -> int:
    """Write the groups of all work items to one table, a row group each; return how many groups there are.

    Columns: item (its key), id, NAME_group ("KEY/ROW" of the group's first document, null where it is alone),
    and, where there is an earlier dataset, NAME_group_earlier (the id of the first document there that the group has).
    """
    counts: dict[str, Any] = {}
    write_tables(path, _group_tables(plan, name, members, counts), fingerprint=print_)
    return int(counts["groups"])


def _group_tables(plan: Plan, name: str, members: Sequence[str], counts: dict[str, Any]) -> Iterator[pa.Table]:
    parts = [part for part in plan.parts if part.item]
    num_earlier = parts[0].start if parts else 0
    twins = _earlier_ids(plan, members) if num_earlier else None
    starts = np.array([part.start for part in parts], dtype=np.int64)
    items = np.array([part.item for part in parts], dtype=object)
    counts["groups"] = 0
    for part in parts:
        here, roots = _members_of(plan, members, part)
        counts["groups"] += int((here == roots).sum())
        labels = np.full(part.size, -1, dtype=np.int64)
        labels[here - part.start] = roots
        grouped = np.flatnonzero(labels >= num_earlier)
        place = np.searchsorted(starts, labels[grouped], side="right") - 1
        rows = labels[grouped] - starts[place]
        slugs = np.full(part.size, None, dtype=object)
        slugs[grouped] = [f"{item}/{row}" for item, row in zip(items[place].tolist(), rows.tolist(), strict=True)]
        columns = {
            "item": pa.array([part.item] * part.size, type=pa.string()),
            "id": read_table(part.path, columns=["id"]).column("id"),
            f"{name}_group": pa.array(slugs, type=pa.string()),
        }
        if twins is not None:
            columns[f"{name}_group{EARLIER}"] = twins.of(labels)
        yield pa.table(columns)


def _members_of(plan: Plan, members: Sequence[str], part: Part) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the members of groups in one table, ascending and each once, and their roots."""
    first, last = part.start // plan.block_size, -(-(part.start + part.size) // plan.block_size)
    found = read_segments(members, MEMBER, first, max(first, last))
    found = found[(found["member"] >= part.start) & (found["member"] < part.start + part.size)]
    here, at = np.unique(found["member"], return_index=True)
    return here, found["root"][at]


@dataclass(frozen=True)
class _EarlierIds:
    """The ids of the documents of an earlier dataset that are the first of a group; roots: their positions, ascending.

    Memory: 44 bytes for each of them.
    """

    roots: npt.NDArray[np.int64]
    ids: pa.ChunkedArray

    def of(self, labels: npt.NDArray[np.int64]) -> pa.ChunkedArray:
        """Return the id of each label that is one of the roots, null of others."""
        at = np.minimum(np.searchsorted(self.roots, labels), max(0, len(self.roots) - 1))
        is_root = self.roots[at] == labels if len(self.roots) else np.zeros(len(labels), dtype=bool)
        return self.ids.take(pa.array(at, mask=~is_root))


def _earlier_ids(plan: Plan, members: Sequence[str]) -> _EarlierIds:
    """Return the ids of the first documents of groups, reading one row group of the earlier index at a time."""
    (index,) = (part for part in plan.parts if not part.item)
    roots, ids, start = [np.empty(0, dtype=np.int64)], [], 0
    for table in read_tables(index.path, columns=["id"]):
        here, of_here = _members_of(plan, members, replace(index, start=start, size=table.num_rows))
        roots.append(here[here == of_here])
        ids += table.column("id").take(pa.array(roots[-1] - start)).chunks
        start += table.num_rows
    return _EarlierIds(np.concatenate(roots), pa.chunked_array(ids, type=pa.string()))
