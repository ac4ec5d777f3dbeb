"""Rows of InfiMM-WebMath-40B: lists in parallel, image links inside texts, the makers' probabilities."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document, ImageNode
from pipelines.sources.contract import Skipped
from pipelines.sources.webmath import WebMath

METADATA = {"ft_lang_label": "__label__en", "ft_lang_prob": 0.95, "math_prob": 0.7, "size": 1234, "more": [1]}


def row(**changes):
    made = {
        "URL": "https://m.example/page",
        "text_list": ["Let $x$.", None, "Then."],
        "image_list": [None, "https://m.example/1.png", None],
        "metadata": METADATA,
    }
    return {key: value for key, value in (made | changes).items() if value is not ...}


@pytest.fixture
def read(tmp_path):
    """Return a function that writes rows as lines of JSON and returns what the source makes of them."""

    def read_rows(*rows):
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
        source = WebMath(path=str(tmp_path / "a.jsonl"))
        (item,) = source.work_items()
        return list(source.read(item))

    return read_rows


def shown(document):
    assert isinstance(document, Document), document
    return [f"<{node.url}>" if isinstance(node, ImageNode) else node.text for node in document.nodes]


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def test_a_row_becomes_a_document_with_the_probabilities_of_its_makers(read):
    (document,) = read(row())
    assert shown(document) == ["Let $x$.", "<https://m.example/1.png>", "Then."]
    assert document.origin.url == "https://m.example/page"
    assert document.measures == {
        "math_prob": 0.7, "ft_lang_prob": 0.95, "size": 1234, "ft_lang_label": "__label__en",
    }  # fmt: skip


def test_metadata_may_be_text_of_json_or_nothing(read):
    assert read(row(metadata=json.dumps(METADATA)))[0].measures["math_prob"] == 0.7
    for nothing in (None, "x", ..., 3):
        measures = read(row(metadata=nothing))[0].measures
        assert measures == dict.fromkeys(("math_prob", "ft_lang_prob", "size", "ft_lang_label"))


def test_links_inside_a_text_are_images_at_their_place(read):
    text = "A [Image_Link]https://m.example/2.png[Image_Link] b [Image_Link]u[Image_Link]"
    (document,) = read(row(text_list=[text], image_list=[None]))
    assert shown(document) == ["A", "<https://m.example/2.png>", "b", "<u>"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [Image_Link] b", ["a [Image_Link] b"]),
        ("a [Image_Link]u[Image_Link] b [Image_Link]v", ["a", "<u>", "b [Image_Link]v"]),
        ("[Image_Link][Image_Link]a", ["a"]),
    ],
)
def test_a_mark_without_its_partner_stays_text(read, text, expected):
    assert shown(read(row(text_list=[text], image_list=[None]))[0]) == expected


def test_broken_rows_are_counted_and_their_neighbours_are_read(read):
    found = read(row(), row(text_list=["a"]), row(text_list=...), row(image_list=[1, None, None]), row(URL=7))
    assert reasons(found) == ["document", "lists_differ", "broken_record", "broken_image", "document", "document"]
    assert found[-1].origin.url == ""


def test_parquet_is_read_the_same(tmp_path, read):
    pq.write_table(pa.Table.from_pylist([row(metadata=json.dumps(METADATA))]), tmp_path / "a.parquet")
    source = WebMath(path=str(tmp_path / "a.parquet"))
    (document,) = source.read(source.work_items()[0])
    assert document.nodes == read(row())[0].nodes
    assert source.preview(source.work_items()).num_documents == 1
