"""MMC4 records: each image before its sentence, in sentence order; broken images and lines cost themselves only."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document, ImageNode
from infimm_data.errors import SourceError
from pipelines.recipe import load_recipe
from pipelines.sources.contract import Skipped
from pipelines.sources.mmc4 import Mmc4

EXAMPLE = Path(__file__).resolve().parents[3] / "../shared/data/interleaved_mmc4_example"
SENTENCES = ["First.", "Second.", "Third.", "Fourth."]


def image(number, place, **more):
    return {
        "image_name": f"{number}.jpg",
        "raw_url": f"http://a.example/{number}.jpg",
        "matched_text_index": place,
        "matched_sim": 0.25 + number / 100,
        "face_detections": None,
        **more,
    }


def record(*images, **changes):
    made = {
        "url": "http://a.example/page",
        "text_list": SENTENCES,
        "image_info": list(images),
        "similarity_matrix": [[0.1, 0.2, 0.3, 0.4]] * len(images),
        "could_have_url_duplicate": 0,
    }
    return {key: value for key, value in (made | changes).items() if value is not ...}


@pytest.fixture
def read(tmp_path):
    """Return a function that writes records as lines and returns what the source makes of them."""

    def read_lines(*records, **settings):
        lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
        (tmp_path / "docs_shard_0_v2.jsonl").write_text("\n".join(lines))
        source = Mmc4(path=str(tmp_path), **settings)
        (item,) = source.work_items()
        assert list(source.images(item, ["http://a.example/1.jpg"])) == []
        return list(source.read(item))

    return read_lines


def shown(document):
    assert isinstance(document, Document), document
    return [node.url[-5:-4] if isinstance(node, ImageNode) else node.text for node in document.nodes]


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def test_the_published_example_is_read_with_its_images_in_sentence_order():
    if not EXAMPLE.exists():
        pytest.skip("the example document of MMC4 is not beside the checkout")
    for assignment in ("stored", "computed"):
        source = Mmc4(path=str(EXAMPLE), assignment=assignment)
        (item,) = source.work_items()
        (document,) = source.read(item)
        assert document.origin.url == "http://www.hfitinfo.com/hofi-48.html"
        assert [node.url[-6:] if isinstance(node, ImageNode) else node.text[:14] for node in document.nodes] == [
            "When you lock ", "91.jpg", "Press the mast", "90.jpg", "When you lock/",
        ]  # fmt: skip
        assert [one.scores["matched_sim"] for one in document.images] == [0.3234919607639313, 0.27694183588027954]
        assert [one.scores["matched_text_index"] for one in document.images] == [1, 2]


def test_images_stand_in_sentence_order_whatever_their_order_in_the_record(read):
    (document,) = read(record(image(1, 3), image(2, 0), image(3, 3)))
    assert shown(document) == ["2", "First. Second. Third.", "1", "3", "Fourth."]
    assert document.measures == {"could_have_url_duplicate": 0}
    assert document.images[0].scores == {"matched_sim": 0.27, "matched_text_index": 0}


def test_a_computed_assignment_is_one_to_one_and_replaces_the_stored_score(read):
    matrix = [[0.9, 0.8, 0.1, 0.1], [0.9, 0.1, 0.1, 0.1]]
    (document,) = read(record(image(1, 0), image(2, 0), similarity_matrix=matrix), assignment="computed")
    assert shown(document) == ["2", "First.", "1", "Second. Third. Fourth."]
    assert [one.scores["matched_sim"] for one in document.images] == [0.9, 0.8]


def test_more_images_than_sentences_and_images_below_the_bound(read):
    matrix = [[0.2], [0.6], [0.14]]
    made = record(image(1, 0), image(2, 0), image(3, 0), text_list=["Alone."], similarity_matrix=matrix)
    assert shown(read(made, assignment="computed")[0]) == ["1", "2", "3", "Alone."]
    lost, document = read(made, assignment="computed", min_similarity=0.15)
    assert shown(document) == ["1", "2", "Alone."]
    assert (lost.reason, lost.detail) == ("broken_image", "image 2: no sentence has a similarity of at least 0.15")


def test_unknown_keys_and_missing_scores_are_no_trouble(read):
    bare = {"raw_url": "http://a.example/1.jpg", "matched_text_index": 1}
    made = record(bare, similarity_matrix=..., could_have_url_duplicate=..., note={"deep": [1]}, url=...)
    (document,) = read(made)
    assert shown(document) == ["First.", "1", "Second. Third. Fourth."]
    assert document.images[0].scores == {"matched_sim": None, "matched_text_index": 1}
    assert (document.origin.url, document.measures) == ("", {"could_have_url_duplicate": None})


@pytest.mark.parametrize(
    "broken",
    [
        image(9, 4), image(9, -1), image(9, 1.5), image(9, True), image(9, None), image(9, "1"), image(9, 10**400),
        image(9, 0, raw_url=None), image(9, 0, raw_url=7), image(9, 0, raw_url=""), "http://a.example/9.jpg", None, 3,
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_used_is_counted_and_costs_no_other(read, broken):
    lost, document = read(record(broken, image(1, 2)))
    assert lost.reason == "broken_image"
    assert lost.url == document.origin.url == "http://a.example/page"
    assert shown(document) == ["First. Second.", "1", "Third. Fourth."]


@pytest.mark.parametrize(
    "changes",
    [
        {"text_list": ...}, {"text_list": "First."}, {"text_list": ["a", None]}, {"text_list": [1]},
        {"image_info": ...}, {"image_info": {}}, {"image_info": None},
    ],
)  # fmt: skip
def test_a_record_of_another_shape_is_counted_and_its_neighbours_are_read(read, changes):
    good = record(image(1, 0))
    assert reasons(read(good, record(image(1, 0), **changes), good)) == ["document", "broken_record", "document"]


@pytest.mark.parametrize("matrix", [..., None, [], [[0.1]], [[0.1] * 4] * 2, [["a"]], "x"])
def test_a_matrix_of_another_shape_is_counted_where_it_is_asked_for(read, matrix):
    made = record(image(1, 0), similarity_matrix=matrix)
    assert reasons(read(made, assignment="computed")) == ["broken_record"]
    assert reasons(read(made)) == ["document"]


def test_nan_in_a_matrix_fits_nothing(read):
    made = json.dumps(record(image(1, 0), similarity_matrix=[[float("nan"), 0.1, 0.3, float("inf")]]))
    assert shown(read(made, assignment="computed")[0]) == ["First. Second.", "1", "Third. Fourth."]


def test_an_image_without_any_similarity_says_so(read):
    made = json.dumps(record(image(1, 0), similarity_matrix=[[float("nan")] * 4]))
    lost, _ = read(made, assignment="computed")
    assert (lost.reason, lost.detail) == ("broken_image", "image 0: no sentence has a similarity")


def test_a_table_of_another_set_fails_in_one_line(tmp_path):
    pq.write_table(pa.table({"texts": [["a"]], "images": [[None]]}), tmp_path / "a.parquet")
    source = Mmc4(path=str(tmp_path))
    with pytest.raises(SourceError, match="no column text_list, image_info; it has texts, images"):
        list(source.read(source.work_items()[0]))


def test_empty_records_and_broken_lines_are_counted(read):
    empty = record(text_list=[], similarity_matrix=[])
    blank = record(text_list=["  ", ""])
    assert reasons(read(empty, blank, "{", "", "[]")) == ["no_content", "no_content", "not_json", "not_json"]


def test_a_record_without_images_is_a_text(read):
    assert shown(read(record())[0]) == ["First. Second. Third. Fourth."]


def test_the_recipe_reads_what_it_says(tmp_path):
    text = (Path(__file__).resolve().parents[3] / "configs/build/mmc4.yaml").read_text()
    (tmp_path / "mmc4").mkdir()
    (tmp_path / "mmc4" / "a.jsonl").write_text(json.dumps(record(image(1, 0))))
    (tmp_path / "recipe.yaml").write_text(text.replace("path: mmc4/", f"path: {tmp_path / 'mmc4'}"))
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    (item,) = recipe.source.work_items()
    assert reasons(recipe.source.read(item)) == ["document"]


def test_a_dry_run_of_a_zip_counts_by_what_it_inflates_to(tmp_path):
    lines = b"".join(json.dumps(record(image(n, 1), url=f"u{n}")).encode() + b"\n" for n in range(900))
    for number in range(2):
        with zipfile.ZipFile(tmp_path / f"docs_shard_{number}_v2.jsonl.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"docs_shard_{number}_v2.jsonl", lines)
    source = Mmc4(path=str(tmp_path))
    preview = source.preview(source.work_items())
    assert preview.num_documents == pytest.approx(1800, rel=0.02)
    assert preview.num_images == pytest.approx(1800, rel=0.02)
