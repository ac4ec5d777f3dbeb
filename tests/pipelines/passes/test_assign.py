"""Images are assigned to sentences from stored scores; the shards have them in reading order or before these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filters.image_size import ImageSize
from infimm_data.document import ImageNode
from infimm_data.shards import read_index, read_manifest, read_sample
from pipelines.build import build
from pipelines.layout import Layout
from pipelines.life import documents_of
from pipelines.recipe import Step
from pipelines.run import Run
from tests.pipelines.made_source import MadeAssignment, make_recipe

PAGE = [
    "Opening words. This tells of side 24.",
    {"image": "https://a.example/1-30.png"},
    "Between them. Of side 30 this tells. Of side 8 as well.",
    {"image": "https://a.example/2-24.png"},
    {"image": "https://a.example/3-8.png"},
    "The end.",
]
TEXTLESS = [{"image": "https://b.example/1-16.png"}]


@pytest.fixture
def go(cluster, tmp_path):
    """Return a function that builds the two pages with a step and returns run and documents."""
    (tmp_path / "dump").mkdir()
    pages = [{"url": "https://a.example", "nodes": PAGE}, {"url": "https://b.example", "nodes": TEXTLESS}]
    (tmp_path / "dump" / "0.json").write_text(json.dumps(pages))

    def run_build(*, out="out", min_side=1, **settings):
        steps = (Step("image_size", ImageSize(min_side=min_side)), Step("made", MadeAssignment(**settings)))
        run = Run(make_recipe(str(tmp_path / "dump"), steps), Layout(str(tmp_path / out)), cluster)
        build(run)
        folder = run.layout.shards
        places = [place for shard in read_manifest(folder) for place in read_index(folder, shard)]
        return run, [read_sample(folder, place).document for place in places]

    return run_build


def shown(document):
    return [node.url[-8:-4] if isinstance(node, ImageNode) else node.text for node in document.nodes]


def worked(run):
    return {report.name for report in run.reports if report.results}


def shas(run):
    return [shard.sha256 for shard in run.shards]


def test_in_reading_order_the_assignment_and_its_agreement_are_stored(go):
    _, (page, textless) = go()
    assert shown(page) == [PAGE[0], "1-30", PAGE[2], "2-24", "/3-8", PAGE[5]]
    assert [image.scores["assigned_sentence"] for image in page.images] == [3, 1, 4]
    assert [image.scores["assigned_beside"] for image in page.images] == [0, 0, 1]
    assert page.images[0].scores["assigned_score"] == pytest.approx(0.9)
    assert page.measures["assignment_agreement"] == pytest.approx(1 / 3)
    assert "similarities" not in page.images[0].scores
    assert "assigned_sentence" not in textless.images[0].scores
    assert "assignment_agreement" not in textless.measures


def test_the_order_of_the_assignment_is_packed_without_scoring_again(go):
    go()
    run, (page, textless) = go(order="assignment")
    assert worked(run) == {"pack"}
    assert shown(page) == [
        "Opening words.", "2-24", "This tells of side 24.\n\nBetween them.", "1-30", "Of side 30 this tells.", "/3-8",
        "Of side 8 as well.\n\nThe end.",
    ]  # fmt: skip
    assert list(textless.images) == [textless.nodes[0]]


def test_a_dropped_image_frees_its_sentence_and_the_build_equals_a_fresh_one(go):
    go()
    later, (page, _) = go(min_side=16)
    assert "assign made" in worked(later)
    assert "score made" not in worked(later)
    assert [image.scores["assigned_sentence"] for image in page.images] == [3, 1]
    fresh, _ = go(min_side=16, out="fresh")
    assert shas(later) == shas(fresh)


def test_images_that_no_sentence_fits_are_dropped_and_counted(go):
    run, documents = go(min_similarity=0.95)
    assert [len(document.images) for document in documents] == [0, 0]
    funnel = json.loads(Path(run.layout.report("funnel.json")).read_text())
    assert {line["reason"]: line["dropped"] for line in funnel["steps"] if line["dropped"]} == {"no_sentence_fits": 4}


def test_the_life_of_an_image_tells_its_sentence(go):
    run, _ = go()
    (life,) = documents_of(run.layout, "https://a.example")
    assert [image.scores["assigned_sentence"] for image in life.images] == [3, 1, 4]
