"""Links on disk into groups: in memory where they fit, else by large stars and small stars, round by round on disk.

The rounds are those of Kiveris et al. 2014 ("Connected Components in MapReduce and Beyond", section 3): a large star
hangs every neighbour of a node that is larger than it on the smallest of them, a small star the smaller ones and the
node itself; alternating, they leave each member linked with the smallest of its group alone. A worker holds one
partition of links at a time, whatever their number. Both ways give the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.files import join
from infimm_data.groups import Positions
from infimm_data.links import PAIR, forest, unique_pairs
from pipelines.dedup.segments import SegmentWriter, open_segments, read_segments
from pipelines.dedup.stages import Plan, add_links, node_partition

MEMBER = np.dtype([("member", "<i8"), ("root", "<i8")])
"""A document in a group; root: the smallest position in it, which is a member as well."""

LINK_BYTES = 160  # that a link takes while groups are found in memory: 16 of its own, and copies that are sorted

_MIX = np.uint64(0xBF58476D1CE4E5B9)

Stage = Callable[[str, Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]
"""Runs a function over lists of arguments and returns the results in their order: (name, function, arguments)."""


def find_groups(plan: Plan, links: Sequence[str], num_links: int, folder: str, stage: Stage) -> list[str]:
    """Return files of MEMBER records by block of positions: all members of groups of two or more, perhaps repeated.

    links: files of PAIR records by node. num_links: in all of them.
    """
    if num_links * LINK_BYTES <= plan.memory:
        path = join(folder, "members")
        stage("groups", connect, [(plan, links, path)])
        return [path]
    stars, before = list(links), None
    for number in range(1, 1000):  # O(log**2) of the largest group; a chain of a billion takes some thirty
        stars, seen = _round(plan, stars, join(folder, f"round{number}"), stage)
        if seen == before:
            break
        before = seen
    paths = [join(folder, f"members-{node:05d}") for node in range(plan.nodes)]
    stage("members", write_members, [(plan, stars, node, path) for node, path in enumerate(paths)])
    return paths


def _round(plan: Plan, links: Sequence[str], folder: str, stage: Stage) -> tuple[list[str], tuple[int, int]]:
    """Run a small and a large star; return the links as they are then, and what tells the links before from others."""
    small = [join(folder, f"small-{node:05d}") for node in range(plan.nodes)]
    seen = stage("small stars", small_star, [(plan, links, node, path) for node, path in enumerate(small)])
    large = [join(folder, f"large-{node:05d}") for node in range(plan.nodes)]
    stage("large stars", large_star, [(plan, small, node, path) for node, path in enumerate(large)])
    return large, (sum(count for count, _ in seen), sum(mixed for _, mixed in seen) % (1 << 64))


def connect(plan: Plan, links: Sequence[str], path: str) -> int:
    """Find all groups at once; return how many members there are."""
    pairs = read_segments(links, PAIR, 0, plan.nodes)
    with open_segments(path, MEMBER, plan.blocks) as members:
        _add_members(members, plan, *forest(pairs["left"], pairs["right"]))
    return int(members.num_records.sum())


def write_members(plan: Plan, stars: Sequence[str], node: int, path: str) -> int:
    """Write the members of one partition of stars, and their roots, by block of positions."""
    pairs = unique_pairs(read_segments(stars, PAIR, node, node + 1))
    with open_segments(path, MEMBER, plan.blocks) as members:
        _add_members(members, plan, pairs["left"], pairs["right"])
    return int(members.num_records.sum())


def _add_members(writer: SegmentWriter, plan: Plan, roots: Positions, members: Positions) -> None:
    own = np.unique(roots)
    found = np.empty(len(own) + len(members), dtype=MEMBER)
    found["member"] = np.concatenate([own, members])
    found["root"] = np.concatenate([own, roots])
    writer.add(found, found["member"] // plan.block_size)


def small_star(plan: Plan, links: Sequence[str], node: int, path: str) -> tuple[int, int]:
    """Hang the smaller neighbours of each node, and the node, on the smallest; links go out in both directions.

    links: by their larger end. Returns the number of different links that came in, and a sum of their hashes.
    """
    pairs = unique_pairs(read_segments(links, PAIR, node, node + 1))
    order = np.lexsort((pairs["left"], pairs["right"]))
    pairs = pairs[order]
    least = _first_of_runs(pairs["right"], pairs["left"])
    with open_segments(path, PAIR, plan.nodes) as out:
        for end in (pairs["left"], pairs["right"]):
            other = end != least
            both = np.empty(2 * int(other.sum()), dtype=PAIR)
            both["left"] = np.concatenate([end[other], least[other]])
            both["right"] = np.concatenate([least[other], end[other]])
            both = unique_pairs(both)
            out.add(both, node_partition(both["left"], plan.nodes))
    mixed = (pairs["left"].astype(np.uint64) * _MIX ^ pairs["right"].astype(np.uint64)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    return len(pairs), int((mixed * _MIX).sum(dtype=np.uint64))


def large_star(plan: Plan, directed: Sequence[str], node: int, path: str) -> int:
    """Hang the larger neighbours of each node on the smallest of all its neighbours and itself."""
    pairs = unique_pairs(read_segments(directed, PAIR, node, node + 1))  # by node, then by neighbour
    least = np.minimum(_first_of_runs(pairs["left"], pairs["right"]), pairs["left"])
    larger = pairs["right"] > pairs["left"]
    with open_segments(path, PAIR, plan.nodes) as out:
        add_links(out, least[larger], pairs["right"][larger], plan.nodes)
    return int(out.num_records.sum())


def _first_of_runs(keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each row the value of the first row with its key; equal keys stand together."""
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = keys[1:] != keys[:-1]
    found: npt.NDArray[np.int64] = values[np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))]
    return found
