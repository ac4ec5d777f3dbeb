"""Instruction rows (M3IT, Alpaca): base64 or named images, instructions of a task's own, one exchange each."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from infimm_data.document import Document, ImageNode
from pipelines.annotations.conversations import written_row
from pipelines.sources.instructions import Instructions
from tests.web_server import PNG, png

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data"
B64 = base64.b64encode(PNG).decode()


def read(folder, rows, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Instructions(path=str(folder), **settings)
    (item,) = source.work_items()
    return source, item, list(source.read(item))


def shape(document):
    return [(node.role, node.url if isinstance(node, ImageNode) else node.text) for node in document.nodes]


def test_images_in_base64_come_first_and_are_read_again_for_their_bytes(tmp_path):
    other = base64.b64encode(png(5)).decode()
    row = {"instruction": "Describe.", "inputs": "in a word", "image_base64_str": [B64, other], "outputs": "Squares"}
    source, item, (document,) = read(tmp_path, [row])
    (_, first), (_, second), *texts = shape(document)
    assert texts == [("user", "Describe."), ("user", "in a word"), ("assistant", "Squares")]
    assert [node.loss for node in document.texts] == [False, False, True]
    assert dict(source.images(item, [second, first])) == {first: PNG, second: png(5)}
    assert first.startswith("base64:")
    assert len(first) < 60  # the documents do not hold the pictures a second time
    assert document.record == ""


def test_a_single_text_and_a_data_uri_are_images_as_well(tmp_path):
    rows = [
        {"instruction": "a", "image_base64_str": text, "outputs": "b"} for text in (B64, f"data:image/png;base64,{B64}")
    ]
    source, item, found = read(tmp_path, rows)
    for document in found:
        (url,) = {node.url for node in document.images}
        assert list(source.images(item, [url])) == [(url, PNG)]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Do.", "input": "x", "image_str": B64, "output": "b"},
        {"instruction": "Do.", "input": "x", "img_str": B64, "output": "b"},
        {"meta": {"instruction": "Do.", "inputs": "x", "image_base64_str": [B64]}, "answer": "b", "question": "?"},
    ],
)
def test_the_names_that_m3it_uses_in_its_tasks_are_all_read(tmp_path, row):
    source, item, (document,) = read(tmp_path, [row])
    (_, url), *texts = shape(document)
    assert texts == [("user", "Do."), ("user", "x"), ("assistant", "b")]
    assert dict(source.images(item, [url])) == {url: PNG}


def test_base64_that_is_none_is_no_image(tmp_path):
    source, item, (document,) = read(tmp_path, [{"instruction": "a", "image_base64_str": ["%%%x"], "outputs": "b"}])
    ((_, data),) = source.images(item, [document.images[0].url])
    assert data == b""


def test_an_image_above_the_bound_is_none(tmp_path):
    row = {"instruction": "a", "image_base64_str": [B64], "outputs": "b"}
    source, item, (document,) = read(tmp_path, [row], max_image_bytes=len(PNG) - 1)
    assert list(source.images(item, [document.images[0].url])) == [(document.images[0].url, b"")]


def test_a_row_without_an_instruction_gets_one_of_its_task_always_the_same(tmp_path):
    given = [f"Do {n}." for n in range(5)]
    tmp_path.joinpath("instructions.json").write_text(json.dumps(given))
    rows = [{"instruction": "", "inputs": f"{n}", "outputs": "b"} for n in range(40)] + [
        {"instruction": "Mine.", "outputs": "b"}
    ]
    _, item, found = read(tmp_path, rows)
    chosen = [document.texts[0].text for document in found]
    assert set(chosen) == {*given, "Mine."}
    assert chosen[-1] == "Mine."
    assert [document.texts[0].text for document in read(tmp_path, rows)[2]] == chosen
    assert item.beside == (f"{tmp_path}/instructions.json",)
    assert read(tmp_path / "alone", rows)[2][0].texts[0].text == "0"


ALPACA = {
    "system": "Be kind.", "instruction": "<image>What?", "input": "", "output": "A bus.", "images": ["a.png"],
    "history": [["Hi", "Hello"]], "extra": 1,
}  # fmt: skip


def test_an_alpaca_row_with_history_and_named_images_is_written_back_equal(tmp_path):
    _, _, (document,) = read(tmp_path, [ALPACA])
    assert shape(document) == [
        ("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "a.png"), ("user", "What?"),
        ("assistant", "A bus."),
    ]  # fmt: skip
    assert written_row(document) == ALPACA


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (7, "not_json"),
        ({}, "no_answer"),
        ({"instruction": "a", "outputs": " "}, "no_answer"),
        ({"instruction": "a", "outputs": ["b"]}, "no_answer"),
        ({"instruction": ["a"], "outputs": "b"}, "bad_turn"),
        ({"instruction": "a", "outputs": "b", "history": "x"}, "bad_turn"),
        ({"instruction": "a", "outputs": "b", "image": "../x.jpg"}, "unsafe_image_name"),
        ({"instruction": "<image><image>", "outputs": "b", "image": "x.jpg"}, "placeholder_mismatch"),
        ({"instruction": "a", "outputs": "b", "image": 7}, "bad_image_list"),
    ],
)
def test_what_is_no_instruction_has_its_reason(tmp_path, row, reason):
    _, _, answers = read(tmp_path, [row, {"instruction": "a", "outputs": "b"}])
    assert [getattr(one, "reason", "document") for one in answers] == [reason, "document"]


def test_real_rows_are_read_and_written_back_equal():
    path = SAMPLES / "instruct_llava/coco2014_val_gpt4_qa_30x3.jsonl"
    if not path.is_file():
        pytest.skip("the LLaVA sample is not beside this checkout (../shared/data/instruct_llava)")
    source = Instructions(path=str(path), images_root="images")
    (item,) = source.work_items()
    found = list(source.read(item))
    assert len(found) == 90
    assert all(isinstance(one, Document) and len(one.images) == 1 for one in found)
    assert [written_row(one) for one in found] == [json.loads(line) for line in path.read_text().splitlines()]
    assert source.preview([item]).num_documents == 90
