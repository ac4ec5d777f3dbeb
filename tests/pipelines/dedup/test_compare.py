"""A comparison on disk finds what one in memory finds, however it is cut."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from filters.exact_duplicate_text import ExactDuplicateText
from filters.near_duplicate_text import NearDuplicateText
from infimm_data.document import Document, TextNode
from infimm_data.errors import InfiMMError
from infimm_data.links import digest, group_signatures
from infimm_data.tables import measures_table, write_table
from pipelines.dedup.compare import compare, plan_for
from pipelines.dedup.components import MEMBER
from pipelines.dedup.segments import read_segments
from pipelines.dedup.signatures import Part

EXACT = ExactDuplicateText()
NEAR = NearDuplicateText()


@dataclass
class Stages:
    """Runs stages here, in a shuffled order, and remembers which there were."""

    seed: int = 0

    def __post_init__(self):
        self.names = []

    def __call__(self, name, function, given):
        self.names.append(name)
        order = list(range(len(given)))
        random.Random(self.seed).shuffle(order)
        results = {at: function(*given[at]) for at in order}
        return [results[at] for at in range(len(given))]


def write_parts(folder, signatures, sizes):
    """Write the signatures as tables of these sizes."""
    parts, start = [], 0
    for item, size in enumerate(sizes):
        rows = [{"s_signature": signature} for signature in signatures[start : start + size]]
        path = str(folder / f"part{item}.parquet")
        table = measures_table({"id": [f"d{start + n}" for n in range(size)]}, rows, ["s_signature"])
        write_table(path, table, fingerprint="")
        parts.append(Part(path, "s_signature", start, size, f"item{item}"))
        start += size
    return parts


def grouped(plan, folder, stages):
    """Return the labels that a comparison found, as `group_signatures` gives them."""
    files = compare(plan, str(folder / "shuffle"), stages)
    found = read_segments(files, MEMBER, 0, plan.blocks)
    labels = np.arange(sum(part.size for part in plan.parts))
    labels[found["member"]] = found["root"]
    return labels.tolist()


def near_copies(size, seed):
    """Random texts, most with copies of which some words differ, a template among them, and texts without a word."""
    rng = random.Random(seed)
    texts = [" ".join(["template", *map(str, range(60)), f"page{n}"]) for n in range(size // 10)] + ["", "..."]
    while len(texts) < size:
        words = [f"w{rng.randrange(5000)}" for _ in range(rng.randint(6, 200))]
        for _ in range(rng.randint(1, 4)):
            edited = list(words)
            for _ in range(rng.randint(0, 3)):
                edited[rng.randrange(len(edited))] = "edited"
            texts.append(" ".join(edited))
    rng.shuffle(texts)
    return [NEAR.signature(Document(id="0", nodes=(TextNode(text=text),))) for text in texts[:size]]


@pytest.fixture(scope="module")
def signatures():
    return near_copies(1500, 1)


@pytest.mark.parametrize(
    ("memory", "workers", "sizes"),
    [(1 << 30, 1, [1500]), (1 << 30, 4, [700, 0, 1, 799]), (500_000, 3, [200, 0, 1, 299]), (150_000, 2, [130] * 3)],
)
def test_near_copies_are_found_as_in_memory_however_the_work_is_cut(tmp_path, signatures, memory, workers, sizes):
    given = signatures[: sum(sizes)]
    plan = plan_for(NEAR, write_parts(tmp_path, given, sizes), memory, workers)
    expected = group_signatures(NEAR, given).tolist()
    assert len(set(expected)) < 0.95 * len(given)
    assert grouped(plan, tmp_path, Stages(memory)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_links_that_do_not_fit_in_memory_are_joined_on_disk(tmp_path, signatures, seed):
    plan = plan_for(NEAR, write_parts(tmp_path, signatures, [1000, 500]), 1 << 30, 2)
    plan = replace(plan, memory=1, nodes=1 + 3 * seed, block_size=100, blocks=15)
    stages = Stages(seed)
    assert grouped(plan, tmp_path, stages) == group_signatures(NEAR, signatures).tolist()
    assert {"small stars", "large stars"} <= set(stages.names)
    assert "groups" not in stages.names


def test_a_limit_of_a_few_kilobytes_cuts_everything_and_still_finds_it(tmp_path, signatures):
    plan = plan_for(NEAR, write_parts(tmp_path, signatures[:200], [80, 120]), 20_000, 2)
    assert (plan.buckets, plan.nodes) > (50, 2)
    assert grouped(plan, tmp_path, Stages()) == group_signatures(NEAR, signatures[:200]).tolist()


def test_equal_digests_are_twins_and_nothing_else_is(tmp_path):
    rng = random.Random(2)
    same_key = [bytes(8) + digest(str(n))[:8] for n in range(3)]
    given = [digest(str(rng.randrange(200))) for _ in range(500)] + same_key + [b"", b"", same_key[1]]
    plan = plan_for(EXACT, write_parts(tmp_path, given, [100, 406]), 100_000, 2)
    first = {}
    expected = [at if not s else first.setdefault(s, at) for at, s in enumerate(given)]
    assert grouped(plan, tmp_path, Stages()) == expected == group_signatures(EXACT, given).tolist()


def test_nothing_to_compare_is_no_group(tmp_path):
    plan = plan_for(EXACT, write_parts(tmp_path, [b"", b""], [2, 0]), 1_000_000, 2)
    assert grouped(plan, tmp_path, Stages()) == [0, 1]
    assert grouped(plan_for(EXACT, [], 1_000_000, 2), tmp_path, Stages()) == []


def test_a_signature_of_another_length_is_named(tmp_path):
    plan = plan_for(NEAR, write_parts(tmp_path, [bytes(100)], [1]), 1_000_000, 1)
    with pytest.raises(InfiMMError, match=r"part0.parquet: a s_signature is not 512 bytes long; remove it"):
        compare(plan, str(tmp_path / "shuffle"), Stages())
