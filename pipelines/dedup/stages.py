"""The stages of a comparison, each a function of one worker: keys to disk, links in every bucket, pairs compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import GroupsDocuments, GroupsNearCopies
from infimm_data.groups import Positions
from infimm_data.links import (
    PAIR,
    RECORD,
    candidates_of,
    forest,
    links_of,
    num_keys,
    records_of,
    signature_bytes,
    unique_pairs,
)
from pipelines.dedup.segments import SegmentWriter, open_segments, read_in_pieces, read_segments
from pipelines.dedup.signatures import Part, batches, rows_at

_SCATTER = np.uint64(0x9E3779B97F4A7C15)
RECORD_COPIES = 6  # of the records of a bucket while links are found: sorted, masked, gathered
_COMPARED_AT_ONCE = 1 << 14  # pairs: 16 MiB of MinHash, which a processor's cache nearly holds


@dataclass(frozen=True)
class Plan:
    """How a comparison is cut. buckets: partitions of keys; nodes: of links, by document; blocks: of positions.

    block_size: positions in a block. memory: bytes that all workers may hold, share: one of them.
    """

    groups: GroupsDocuments
    parts: tuple[Part, ...]
    buckets: int
    nodes: int
    blocks: int
    block_size: int
    memory: int
    share: int

    @property
    def rows_at_once(self) -> int:
        """Documents whose signatures and records a worker holds while it writes keys."""
        a_row = signature_bytes(self.groups) + RECORD_COPIES * RECORD.itemsize * num_keys(self.groups)
        return min(1 << 16, max(256, self.share // a_row))


def node_partition(positions: Positions, nodes: int) -> npt.NDArray[np.int64]:
    """Return the partition of each document's links: scattered, as the first documents have most of them."""
    mixed = (positions.astype(np.uint64) * _SCATTER) >> np.uint64(33)
    return (mixed % np.uint64(nodes)).astype(np.int64)


def add_links(writer: SegmentWriter, left: Positions, right: Positions, nodes: int) -> None:
    """Write links, smaller position first, to the partition of their larger one."""
    pairs = np.empty(len(left), dtype=PAIR)
    pairs["left"], pairs["right"] = np.minimum(left, right), np.maximum(left, right)
    writer.add(pairs, node_partition(pairs["right"], nodes))


def write_keys(plan: Plan, part: Part, keys: str, links: str) -> int:
    """Write the records of one table by bucket; what is equal within a batch is linked at once and goes on once.

    Returns the number of links.
    """
    with (
        open_segments(keys, RECORD, plan.buckets) as records,
        open_segments(links, PAIR, plan.nodes) as linked,
    ):
        for positions, signatures in batches(part, signature_bytes(plan.groups), plan.rows_at_once):
            left, right, singles = links_of(records_of(plan.groups, signatures, positions))
            records.add(singles, (singles["key"] % np.uint64(plan.buckets)).astype(np.int64))
            add_links(linked, left, right, plan.nodes)
    return int(linked.num_records.sum())


def write_links(
    plan: Plan, keys: Sequence[str], bucket: int, links: str, candidates: str
) -> tuple[int, npt.NDArray[np.int64]]:
    """Write the links of equal signatures of one partition of buckets, and the pairs that are to be compared.

    Returns the number of links, and that of pairs by block of their smaller position.
    """
    with (
        open_segments(links, PAIR, plan.nodes) as linked,
        open_segments(candidates, PAIR, plan.blocks) as compared,
    ):
        left, right, singles = links_of(read_segments(keys, RECORD, bucket, bucket + 1))
        add_links(linked, left, right, plan.nodes)
        for a, b in candidates_of(singles) if isinstance(plan.groups, GroupsNearCopies) else ():
            pairs = np.empty(len(a), dtype=PAIR)
            pairs["left"], pairs["right"] = a, b
            compared.add(pairs, a // plan.block_size)
    return int(linked.num_records.sum()), compared.num_records


def write_alike(plan: Plan, candidates: Sequence[str], first: int, last: int, links: str) -> int:
    """Compare the pairs whose smaller position lies in the blocks first..last (exclusive); write those that join.

    Returns the number of links.
    """
    assert isinstance(plan.groups, GroupsNearCopies)
    with open_segments(links, PAIR, plan.nodes) as linked:
        for pairs in read_in_pieces(candidates, PAIR, first, last, plan.share // 8):
            for some in _cut(unique_pairs(pairs), max(1, plan.share // (4 * plan.groups.signature_bytes))):
                good = _alike(plan, some)
                add_links(linked, *forest(some["left"][good], some["right"][good]), plan.nodes)
    return int(linked.num_records.sum())


def _alike(plan: Plan, pairs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which pairs join; the signatures of both sides are in memory at once."""
    assert isinstance(plan.groups, GroupsNearCopies)
    positions = np.unique(np.concatenate([pairs["left"], pairs["right"]]))
    signatures = rows_at(plan.parts, positions, plan.groups.signature_bytes)
    left, right = np.searchsorted(positions, pairs["left"]), np.searchsorted(positions, pairs["right"])
    found = np.empty(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), _COMPARED_AT_ONCE):
        here = slice(start, start + _COMPARED_AT_ONCE)
        found[here] = plan.groups.alike(signatures[left[here]], signatures[right[here]])
    return found


def _cut(pairs: npt.NDArray[Any], size: int) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]
