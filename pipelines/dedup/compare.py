"""A whole comparison: signatures of any number of documents -> the groups of those that are copies, on disk.

Every stage is one task per file or partition. How the work is cut follows from the memory limit and the number of
workers; what is found does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import GroupsDocuments
from infimm_data.files import file_system, join
from infimm_data.links import PAIR, RECORD, num_keys
from pipelines.dedup.components import Stage, find_groups
from pipelines.dedup.signatures import Part
from pipelines.dedup.stages import RECORD_COPIES, Plan, write_alike, write_keys, write_links

MOST_PARTITIONS = 4096  # files that a worker opens one after the other
_LINK_COPIES = 8  # of a partition of links while its stars are hung: sorted, made unique, in both directions
_MOST_BLOCKS = 1024
_LEAST_BLOCK = 4096  # documents


def plan_for(groups: GroupsDocuments, parts: Sequence[Part], memory: int, workers: int) -> Plan:
    """Return how to compare the documents of `parts` within `memory` bytes over all workers."""
    size = sum(part.size for part in parts)
    share = max(1, memory // max(1, workers))
    block_size = max(_LEAST_BLOCK, -(-size // _MOST_BLOCKS))
    return Plan(
        groups=groups,
        parts=tuple(parts),
        buckets=partitions(size * num_keys(groups) * RECORD.itemsize * RECORD_COPIES, share, workers),
        nodes=partitions(size * PAIR.itemsize * _LINK_COPIES, share, 1),
        blocks=max(1, -(-size // block_size)),
        block_size=block_size,
        memory=memory,
        share=share,
    )


def partitions(size_bytes: int, share: int, least: int) -> int:
    """Return into how many parts so many bytes are cut, so that one fits a worker's share."""
    return min(MOST_PARTITIONS, max(least, -(-size_bytes // share)))


def compare(plan: Plan, folder: str, stage: Stage) -> list[str]:
    """Return the files of the members of all groups, by block of positions (`components.MEMBER`).

    folder: for what lies on disk meanwhile; emptied first, the caller removes it.
    """
    remove_folder(folder)
    keys = [join(folder, f"keys-{number:05d}") for number in range(len(plan.parts))]
    links = [join(folder, f"links-{number:05d}") for number in range(len(plan.parts))]
    given = [(plan, *paths) for paths in zip(plan.parts, keys, links, strict=True)]
    num_links = sum(stage("keys", write_keys, given))

    buckets = range(plan.buckets)
    more = [join(folder, f"bucket-links-{bucket:05d}") for bucket in buckets]
    pairs = [join(folder, f"pairs-{bucket:05d}") for bucket in buckets]
    found = stage("links", write_links, [(plan, keys, bucket, more[bucket], pairs[bucket]) for bucket in buckets])
    num_links += sum(count for count, _ in found)
    links += more

    to_compare = np.sum([blocks for _, blocks in found], axis=0)
    ranges = _ranges(to_compare, -(-int(to_compare.sum()) // (2 * plan.buckets)))
    alike = [join(folder, f"alike-{number:05d}") for number in range(len(ranges))]
    compared = [(plan, pairs, *blocks, path) for blocks, path in zip(ranges, alike, strict=True)]
    num_links += sum(stage("pairs", write_alike, compared))
    return find_groups(plan, links + alike, num_links, folder, stage)


def _ranges(counts: npt.NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Return runs of blocks (first, last exclusive) with about `most` pairs each; blocks without any are left out."""
    found: list[tuple[int, int]] = []
    held = 0
    for block, count in enumerate(counts.tolist()):
        if not count:
            continue
        if found and held + count <= most:
            found[-1], held = (found[-1][0], block + 1), held + count
        else:
            found.append((block, block + 1))
            held = count
    return found


def remove_folder(folder: str) -> None:
    """Remove a folder with all that is in it, if it is there."""
    fs, inside = file_system(folder)
    if fs.exists(inside):
        fs.rm(inside, recursive=True)
