"""Conversations: rows become documents, shards, and rows of a batch that learns answers alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from infimm_data.document import Document
from infimm_data.errors import ConfigError, SourceError
from infimm_data.shards import read_index, read_manifest, read_sample
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import IGNORED
from pipelines.annotations.conversations import written_row
from pipelines.build import build
from pipelines.layout import Layout
from pipelines.recipe import load_recipe
from pipelines.run import Run
from pipelines.sources.contract import Fixed, Skipped
from pipelines.sources.conversations import Conversations
from tests.pipelines.sources.made_conversations import GOOD, SPOILT, llava, picture, recipe_text, write_set

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data"


def read(folder, rows=None, **settings):
    source = Conversations(path=write_set(folder, rows), images_root=str(folder / "images"), **settings)
    (item,) = source.work_items()
    return list(source.read(item))


def reasons(answers, kind):
    return {one.url: one.reason for one in answers if isinstance(one, kind)}


def test_rows_are_written_back_equal_through_the_file(tmp_path):
    rows = [*GOOD, {**GOOD[2], "n": 1.5, "big": 2**70, "nested": {"é": [None, True, 1e-7]}}]
    found = read(tmp_path, rows)
    assert [json.dumps(written_row(one)) for one in found] == [json.dumps(row) for row in rows]


def test_a_row_whose_image_has_an_absolute_path_below_the_folder_is_read_and_written_back_as_it_was(tmp_path):
    row = llava("absolute", f"{tmp_path}/images/coco/1.jpg", "q: <image>\nWhat?", "a: Grey.")
    source = Conversations(path=write_set(tmp_path, [row]), images_root=str(tmp_path / "images"))
    (item,) = source.work_items()
    (document,) = source.read(item)
    assert list(source.images(item, [node.url for node in document.images])) == [("coco/1.jpg", picture(100))]
    assert written_row(document) == row


def test_a_row_as_pandas_writes_it_has_no_image_where_it_says_nan(tmp_path):
    rows = [{**GOOD[0], "score": float("nan")}, {**GOOD[2], "image": float("nan")}, GOOD[1]]
    found = read(tmp_path, rows)
    assert [len(one.images) for one in found] == [1, 0, 1]
    assert written_row(found[0]) == {**GOOD[0], "score": None}


def test_a_row_as_it_stands_is_left_out_only_where_it_cannot_be_read(tmp_path):
    answers = read(tmp_path)
    assert reasons(answers, Skipped) == {
        "no place": "placeholder_mismatch", "two places": "placeholder_mismatch", "climbs": "unsafe_image_name",
        "links": "unsafe_image_name", "5": "no_conversation",
    }  # fmt: skip
    assert reasons(answers, Fixed) == {}
    kept = [written_row(one) for one in answers if isinstance(one, Document)]
    assert kept == [row for row in [*GOOD, *SPOILT] if row in kept]
    assert len(kept) == len(GOOD) + len(SPOILT) - 5


def test_safe_fixes_are_made_and_counted(tmp_path):
    answers = read(tmp_path, fix=True)
    assert reasons(answers, Fixed) == {"suffix": "image_suffix", "first": "turn_order", "no place": "no_placeholder"}
    assert Counter(one.reason for one in answers if isinstance(one, Skipped)) == {
        "placeholder_mismatch": 1, "empty_answer": 1, "repeated_row": 1, "unsafe_image_name": 2, "no_conversation": 1,
    }  # fmt: skip
    kept = {one.origin.url: written_row(one) for one in answers if isinstance(one, Document)}
    assert kept["suffix"]["image"] == "coco/other.gif"
    assert [turn["value"] for turn in kept["first"]["conversations"]] == ["Who?", "You."]
    assert kept["no place"]["conversations"][0]["value"] == "<image>\nWhat is grey?"
    assert kept["000000000000"] == GOOD[0]


def test_a_row_says_which_it_was(tmp_path):
    first, second, *_ = read(tmp_path)
    assert (first.origin.dump, first.origin.offset, first.origin.url) == ("llava.json", 0, "000000000000")
    assert (second.origin.offset, second.origin.url) == (1, "1")
    assert first.id != second.id


def test_lines_of_json_and_a_folder_of_files_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in GOOD) + "\n{broken\n")
    write_set(tmp_path, GOOD[:1])
    source = Conversations(path=str(tmp_path), images_root=str(tmp_path / "images"))
    lines, listed = (list(source.read(item)) for item in source.work_items())
    assert [item.name for item in source.work_items()] == ["a.jsonl", "llava.json"]
    assert [written_row(one) for one in lines[:-1]] == GOOD
    assert lines[-1].reason == "not_json"
    assert len({one.id for one in [*lines[:-1], *listed]}) == 5


def test_image_names_are_relative_to_the_annotation_file_where_no_folder_is_named(tmp_path):
    path = write_set(tmp_path, [llava(1, "images/coco/0.jpg", "q: <image>", "a: b")])
    source = Conversations(path=path)
    (item,) = source.work_items()
    (document,) = source.read(item)
    assert list(source.images(item, [document.images[0].url])) == [("images/coco/0.jpg", picture(0))]


def test_a_file_without_a_row_fails_and_says_what_was_expected(tmp_path):
    with pytest.raises(SourceError, match=r"llava\.json: no row"):
        read(tmp_path, [])


def test_an_empty_placeholder_is_refused():
    with pytest.raises(ConfigError, match="placeholder is empty"):
        Conversations(path="x", placeholder="")


def test_real_rows_and_their_images_are_read():
    path = SAMPLES / "instruct_llamafactory/mllm_demo.json"
    if not path.is_file():
        pytest.skip("the LLaMA-Factory sample is not beside this checkout (../shared/data/instruct_llamafactory)")
    source = Conversations(path=str(path))
    (item,) = source.work_items()
    found = list(source.read(item))
    assert [written_row(one) for one in found] == json.loads(path.read_text())
    urls = {node.url for one in found for node in one.images}
    assert {url for url, _ in source.images(item, urls)} == urls
    assert source.preview([item]).num_images == 8


# --- through the whole build


@pytest.fixture(scope="module")
def built(tmp_path_factory, cluster):
    """The set of every kind of row, built with its safe fixes."""
    folder = tmp_path_factory.mktemp("llava")
    path = folder / "recipe.yaml"
    path.write_text(recipe_text(write_set(folder), fix=True))
    build(Run(load_recipe(str(path)), Layout(str(folder / "out")), cluster))
    return folder


def samples(built):
    folder = f"{built}/out/shards"
    return [read_sample(folder, place) for shard in read_manifest(folder) for place in read_index(folder, shard)]


def test_shards_hold_whole_conversations_with_roles_loss_and_their_images(built):
    found = {sample.document.origin.url: sample for sample in samples(built)}
    assert sorted(found) == ["000000000000", "1", "first", "gif", "no place", "suffix", "text"]
    assert len(samples(built)) == 8  # two rows are called text
    first = found["000000000000"]
    assert [(node.role, getattr(node, "text", None), getattr(node, "loss", None)) for node in first.document.nodes] == [
        ("user", None, None), ("user", "\nWhat is it? ", False), ("assistant", "A dark square.\n", True),
        ("user", "Sure?", False), ("assistant", "Yes.", True),
    ]  # fmt: skip
    assert first.files == {"0.jpg": picture(0)}
    assert list(found["gif"].files) == ["0.gif"]  # by its bytes, not by its name


def test_the_funnel_counts_what_was_fixed_and_what_lost_its_image(built):
    funnel = json.loads((built / "out/report/funnel.json").read_text())
    assert funnel["dump"]["fixed"] == {"image_suffix": 1, "no_placeholder": 1, "turn_order": 1}
    dropped = {line["reason"]: line["dropped"] for line in funnel["steps"]}
    assert dropped == {"image_truncated": 1, "missing_file": 1, "images_lost": 2}


def test_a_batch_of_it_learns_answers_alone(built):
    from model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer("package:pipelines.demo/data/tokenizer")
    settings = StreamSettings(row_tokens=128, template="zephyr", holdout_fraction=0.0)
    batches = list(
        one_pass(f"{built}/out/shards", tokenizer.vocabulary, settings, image_side=16, rows=4, split="train")
    )
    learnt = Counter()
    for batch in batches:
        for labels, documents in zip(batch.labels, batch.document_ids, strict=True):
            for number in range(int(documents.max()) + 1):
                taught = labels[(documents == number) & (labels != IGNORED)].tolist()
                assert taught[-1] == tokenizer.vocabulary.eos
                learnt[tokenizer.decode(taught)] += 1
    assert learnt == {
        "A dark square.Yes.": 1, "A grey square.": 1, "Hi, how are you?": 1, "A picture of a GIF.": 1,
        "A GIF under its own name.": 1, "You.": 1, "The square.": 1, "row of the same name.": 1,
    }  # fmt: skip
    assert sum(len(batch.images) for batch in batches) == 5


def test_a_picture_that_was_missing_is_taken_by_the_next_build(built, cluster, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(built, folder, symlinks=True)
    (built / "images/coco/none.jpg").write_bytes(picture(33))
    try:
        build(Run(load_recipe(str(folder / "recipe.yaml")), Layout(str(folder / "out")), cluster))
    finally:
        (built / "images/coco/none.jpg").unlink()
    assert "missing" in {sample.document.origin.url for sample in samples(folder)}
