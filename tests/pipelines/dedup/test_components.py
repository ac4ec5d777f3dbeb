"""Groups of links that are too many for memory: stars on disk, against union by relabelling in memory."""

from __future__ import annotations

import numpy as np
import pytest

from infimm_data.groups import smallest_of_group
from infimm_data.links import PAIR
from pipelines.dedup.components import MEMBER, find_groups
from pipelines.dedup.segments import open_segments, read_segments
from pipelines.dedup.stages import Plan, add_links


def groups_on_disk(folder, size, left, right, *, memory, nodes):
    rounds = []

    def stage(name, function, given):
        rounds.append(name)
        return [function(*arguments) for arguments in given]

    plan = Plan(
        groups=None, parts=(), buckets=1, nodes=nodes, blocks=8, block_size=-(-size // 8), memory=memory, share=1
    )
    paths = [str(folder / f"links{number}") for number in range(2)]
    for number, path in enumerate(paths):
        with open_segments(path, PAIR, nodes) as out:
            add_links(out, left[number::2], right[number::2], nodes)
    found = read_segments(find_groups(plan, paths, len(left), str(folder), stage), MEMBER, 0, 8)
    labels = np.arange(size)
    labels[found["member"]] = found["root"]
    return labels, set(found["member"].tolist()), rounds


@pytest.mark.parametrize("seed", range(12))
def test_stars_on_disk_are_the_groups_in_memory(tmp_path, seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 400))
    left, right = rng.integers(0, size, (2, int(rng.integers(0, size))))
    different = left != right
    left, right = left[different], right[different]
    expected = smallest_of_group(size, left, right)
    (tmp_path / "disk").mkdir()
    on_disk, members, rounds = groups_on_disk(tmp_path / "disk", size, left, right, memory=0, nodes=1 + seed % 5)
    in_memory, same_members, _ = groups_on_disk(tmp_path, size, left, right, memory=1 << 30, nodes=3)
    assert on_disk.tolist() == in_memory.tolist() == expected.tolist()
    assert members == same_members == {*left.tolist(), *right.tolist()}
    assert "small stars" in rounds or not len(left)


def test_a_chain_takes_few_rounds(tmp_path):
    order = np.random.default_rng(0).permutation(5_000)
    labels, _, rounds = groups_on_disk(tmp_path, 5_000, order[:-1], order[1:], memory=0, nodes=3)
    assert not labels.any()
    assert rounds.count("small stars") < 20
