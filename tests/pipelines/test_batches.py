"""Facts a batch at a time: what is decided does not depend on how many batches the memory limit makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from filters.exact_duplicate_text import ExactDuplicateText
from filters.image_duplicate import ImageDuplicate
from filters.near_duplicate_text import NearDuplicateText
from infimm_data.files import read_bytes
from infimm_data.rules import AtLeast, AtMost, BestFraction, GroupAtMost
from infimm_data.tables import read_table, write_table, write_tables
from pipelines.batches import StoredFacts
from pipelines.facts import FETCHED_COLUMNS
from pipelines.passes.decide import decide
from pipelines.passes.decisions import write_decisions
from pipelines.passes.values import shown_values
from pipelines.recipe import DedupSettings
from pipelines.stored import ImageGroups
from tests.pipelines.here import make_run
from tests.pipelines.made_facts import Rules

DOCUMENTS, ITEMS = 400, 5
STEPS = {
    "words": Rules("document", (AtLeast("num_words", 5, "few"), BestFraction("quality", 0.8, "worse"))),
    "often": Rules("document", (GroupAtMost("text_hash", 12, "often"),)),
    "exact": ExactDuplicateText(),
    "size": Rules("image", (AtMost("size_bytes", 3_000_000, "heavy"), AtLeast("width", 100, "small"))),
    "image_duplicate": ImageDuplicate(distance=2, max_documents=3),
    "near": NearDuplicateText(),
    "best": Rules("image", (BestFraction("short_side", 0.9, "not_best", True),)),
    "count": Rules("document", (AtLeast("images_kept", 1, "no_images"), AtMost("images_lost", 1, "lost"))),
}  # fmt: skip
GROUPS = {"exact": "exact_duplicate_text_group", "near": "near_duplicate_text_group"}


def write_item(run, number, rng):
    """Write random measures of a work item; of the first no quality is known, of the second no image was fetched."""
    key, layout = run.keys[number], run.layout
    ids = [f"{number:02d}{row:04d}" for row in range(DOCUMENTS)]
    measured = {"id": ids, "num_words": rng.integers(0, 50, DOCUMENTS).astype(float)}
    measured["text_hash"] = [None if one > 80 else f"hash{one}" for one in rng.integers(0, 100, DOCUMENTS)]
    if number:
        measured["quality"] = np.where(rng.random(DOCUMENTS) < 0.1, np.nan, rng.normal(size=DOCUMENTS))
    write_table(layout.document_scores(key), pa.table(measured), fingerprint="")
    dates = [f"2026-01-{day:02d}T00:00:00Z" if day else "" for day in rng.integers(0, 29, DOCUMENTS).tolist()]
    write_table(layout.documents(key), pa.table({"date": dates, "url": ids}), fingerprint="")
    counts = rng.integers(0, 6, DOCUMENTS)
    urls = [f"{key}/{n}" for n in range(int(counts.sum()))]
    nodes = np.concatenate([np.arange(count) for count in counts])
    write_table(
        layout.image_scores(key), pa.table({"id": np.repeat(ids, counts), "node": nodes, "url": urls}), fingerprint=""
    )
    if number != 1:
        size = len(urls)
        width = rng.integers(50, 2_000, size)
        fetched = {name: pa.nulls(size) for name in FETCHED_COLUMNS} | {
            "status": rng.choice(["ok", "ok", "ok", "http_404", "timeout"][: 3 + number % 3], size),
            "width": pa.array(width, mask=rng.random(size) < (0.1 if number == 2 else 0)),
            "short_side": pa.array(np.minimum(width, 300), pa.int32()),
            "size_bytes": pa.array(rng.integers(1_000_000, 4_000_000, size)),
            "phash": pa.array((1_500 * rng.random(size) ** 3).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)),
        }
        write_table(layout.images(key), pa.table({"url": urls, **fetched}), fingerprint="")


def write_groups(run, name, rng):
    """Write random groups, each under its first member, and twins of an earlier dataset."""
    groups = rng.integers(0, 3 * DOCUMENTS, DOCUMENTS * ITEMS)
    first = {}
    for row, group in enumerate(groups.tolist()):
        first.setdefault(group, f"{run.keys[row // DOCUMENTS]}/{row % DOCUMENTS}")
    slugs = [first[group] if group % 2 else None for group in groups.tolist()]
    twins = [f"old{row}{name}" if one else None for row, one in enumerate(rng.random(len(slugs)) < 0.02)]
    tables = (
        pa.table({
            "item": [key] * DOCUMENTS,
            "id": read_table(run.layout.document_scores(key)).column("id"),
            GROUPS[name]: pa.array(slugs[at : at + DOCUMENTS], pa.string()),
            f"{GROUPS[name]}_earlier": pa.array(twins[at : at + DOCUMENTS], pa.string()),
        })
        for at, key in zip(range(0, DOCUMENTS * ITEMS, DOCUMENTS), run.keys, strict=True)
    )  # fmt: skip
    write_tables(run.layout.groups(name), tables, fingerprint="")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("out"), STEPS, range(ITEMS))
    rng = np.random.default_rng(0)
    for number in range(ITEMS):
        write_item(run, number, rng)
    for name in GROUPS:
        write_groups(run, name, rng)
    return run


def decided(run, memory, *, rank=("images_kept", "date"), steps=None):
    recipe = replace(run.recipe, dedup=DedupSettings(memory=memory, rank=rank))
    facts = StoredFacts(run.layout, run.keys, recipe)
    return decide(facts, steps or recipe.steps, images=ImageGroups())


def told(found):
    """Everything that a decision says."""
    values = {
        level: [text for part in found.facts.batches() for text in shown_values(part, found, level)]
        for level in ("document", "image")
    }
    return found.documents.line.tolist(), found.images.line.tolist(), found.funnel, found.num_unmeasured, values


@pytest.mark.parametrize("rank", [("images_kept",), ("-date", "num_words"), ("quality",)])
def test_one_batch_and_many_decide_the_same_and_tell_the_same(run, rank):
    small, large = decided(run, "1MB", rank=rank), decided(run, "4GB", rank=rank)
    assert (len(list(small.facts.batches())), len(list(large.facts.batches()))) == (ITEMS, 1)
    assert told(small) == told(large)
    assert {line.reason for line in small.funnel if line.dropped} >= {
        "few", "worse", "often", "exact_duplicate_text", "exact_duplicate_text_of_earlier", "heavy", "small",
        "near_duplicate_text", "image_too_frequent", "not_fetched", "http_404", "no_images", "lost",
    }  # fmt: skip


def test_the_files_of_decisions_are_the_same_bytes(run):
    written = []
    for memory in ("1MB", "4GB"):
        write_decisions(decided(run, memory), run.items, run.layout)
        paths = [run.layout.decisions(level, key) for level in ("documents", "images") for key in run.keys]
        written.append([read_bytes(path) for path in paths])
    assert written[0] == written[1]


def test_a_whole_number_that_some_rows_lack_is_told_alike_in_every_batch(run):
    """Width is unknown of some images of one batch: then all of them are floats, as they are in one column."""
    narrow = (replace(run.recipe.steps[3], filter=Rules("image", (AtLeast("width", 10**9, "small"),))),)
    (small, large) = (told(decided(run, memory, steps=narrow)) for memory in ("1MB", "4GB"))
    assert small == large
    assert "not measured" in small[-1]["image"]


def test_nothing_is_left_of_what_lies_on_disk(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    decided(run, "1MB")
    assert list(tmp_path.iterdir()) == []


def test_all_of_a_work_item_is_told_with_its_place_in_the_build(run):
    facts = decided(run, "1MB").facts
    part = facts.of_item(run.keys[3], {"document": ["num_words"], "image": ["width"]})
    assert part.first_document == 3 * DOCUMENTS
    assert part.documents.column_names == ["id", "num_words"]
    assert part.images.column_names == ["id", "node", "url", "width"]
    whole = facts.of_item(run.keys[3])
    assert {*GROUPS.values(), "quality"} <= set(whole.documents.column_names)
    assert {"image_documents", "image_repeat"} <= set(whole.images.column_names)
    assert facts.texts("id", np.array([1203, 7, 1203])) == ["030003", "000007", "030003"]
