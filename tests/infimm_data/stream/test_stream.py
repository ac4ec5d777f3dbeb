"""The stream: a pure function of shards, settings and position; exact to resume; nothing lost, nothing leaked."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from infimm_data.errors import ConfigError, ShardError
from infimm_data.shard_reads import ShardReads
from infimm_data.stream.batch import Batch
from infimm_data.stream.order import is_held_out
from infimm_data.stream.reader import Reader
from infimm_data.stream.stream import Stream, one_pass, position_of
from tests.infimm_data.stream.conftest import BOS, IMAGE, SETTINGS, decode, many, png, sample


def open_stream(folder, vocabulary, settings=SETTINGS, *, rows=2, **more):
    return Stream(folder, vocabulary, settings, image_side=8, rows=rows, **more)


def take(stream: Stream, count: int) -> list[Batch]:
    return [next(stream) for _ in range(count)]


def row_texts(batches: list[Batch]) -> list[str]:
    return [decode(row) for batch in batches for row in batch.input_ids]


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in Batch.__slots__)


def epoch_of(folder, vocabulary, settings=SETTINGS, rows=2) -> list[Batch]:
    return list(one_pass(folder, vocabulary, settings, image_side=8, rows=rows, split="train"))


def test_fields_have_the_shapes_and_types_of_the_contract(shards, vocabulary):
    with open_stream(shards(many(20)), vocabulary, rows=3) as stream:
        batch = next(stream)
    assert {name: getattr(batch, name).dtype for name in Batch.__slots__} == {
        "input_ids": torch.int64, "labels": torch.int64, "document_ids": torch.int32,
        "position_ids": torch.int64, "image_index": torch.int32, "images": torch.uint8, "sources": torch.int16,
    }  # fmt: skip
    assert {tuple(getattr(batch, name).shape) for name in Batch.__slots__[:5]} == {(3, 96)}
    assert batch.images.shape[1:] == (3, 8, 8)


def test_an_epoch_holds_every_document_once(shards, vocabulary):
    text = "".join(row_texts(epoch_of(shards(many(50)), vocabulary)))
    assert [text.count(f"document {i} begins.") for i in range(50)] == [1] * 50
    assert sum(text.count("after image") for _ in [0]) == sum(i % 3 for i in range(50))


def test_tokens_see_the_image_of_their_document(shards, vocabulary):
    for batch in epoch_of(shards(many(50)), vocabulary):
        for row, (ids, index) in enumerate(zip(batch.input_ids, batch.image_index, strict=True)):
            text = decode(ids)
            for place in torch.nonzero(ids == IMAGE).flatten().tolist():
                after = decode(ids[place + 1 :])
                number, document = after.removeprefix("after image ").split(".")[0].split(" of ")
                grey = int(batch.images[index[place], 0, 0, 0])
                assert grey == int(document) * 2 + int(number), (row, text)


def test_positions_restart_and_padding_is_marked(shards, vocabulary):
    for batch in epoch_of(shards(many(20)), vocabulary):
        for ids, documents, positions, labels, index in zip(
            batch.input_ids, batch.document_ids, batch.position_ids, batch.labels, batch.image_index, strict=True
        ):
            starts = torch.nonzero(positions == 0).flatten().tolist()
            inside = documents >= 0
            for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
                if inside[start]:
                    assert positions[start:stop][inside[start:stop]].tolist() == list(
                        range(int(inside[start:stop].sum()))
                    )
                    assert labels[start] == -100
            assert (labels[~inside] == -100).all()
            assert (index[~inside] == -1).all()


def test_the_same_seed_gives_the_same_batches(shards, vocabulary):
    folder = shards(many(30))
    with open_stream(folder, vocabulary) as one, open_stream(folder, vocabulary) as other:
        assert all(same(a, b) for a, b in zip(take(one, 20), take(other, 20), strict=True))


@pytest.mark.parametrize("taken", [0, 1, 5, 9, 17, 40])
def test_resuming_gives_the_batches_that_would_have_come(shards, vocabulary, taken):
    folder = shards(many(40))
    with open_stream(folder, vocabulary) as whole:
        expected = take(whole, taken + 6)[taken:]
    with open_stream(folder, vocabulary) as first:
        take(first, taken)
        state = json.loads(json.dumps(first.state_dict()))
    with open_stream(folder, vocabulary) as second:
        second.load_state_dict(state)
        assert all(same(a, b) for a, b in zip(take(second, 6), expected, strict=True))


def of_ranks(folder, vocabulary, world, batches, *, rows=4, state=None, settings=SETTINGS) -> list[list[str]]:
    """The rows of each global batch over all ranks, sorted: which rank takes which row depends on their number."""
    ranks = [open_stream(folder, vocabulary, settings, rows=rows // world, rank=r, world=world) for r in range(world)]
    try:
        for rank in ranks if state else []:
            rank.load_state_dict(state)
        found = [sorted(text for rank in ranks for text in row_texts([next(rank)])) for _ in range(batches)]
        assert len({json.dumps(rank.state_dict()) for rank in ranks}) == 1
        return found
    finally:
        for rank in ranks:
            rank.close()


@pytest.mark.parametrize("world", [2, 4])
def test_the_rows_of_a_step_do_not_depend_on_the_number_of_ranks(shards, vocabulary, world):
    folder = shards(many(40))
    assert of_ranks(folder, vocabulary, world, 6) == of_ranks(folder, vocabulary, 1, 6)


def test_resuming_on_another_number_of_ranks_is_exact(shards, vocabulary):
    folder = shards(many(40))
    with open_stream(folder, vocabulary, rows=4) as single:
        take(single, 3)
        state = single.state_dict()
    assert of_ranks(folder, vocabulary, 2, 4, state=state) == of_ranks(folder, vocabulary, 1, 7)[3:]


def test_the_number_of_workers_changes_nothing(shards, vocabulary):
    folder = shards([*many(40), sample(99, "a", png(1)[:40], "b", png(2), "c")])
    with open_stream(folder, vocabulary, workers=1) as one, open_stream(folder, vocabulary, workers=5) as five:
        assert all(same(a, b) for a, b in zip(take(one, 25), take(five, 25), strict=True))


def test_a_position_of_other_settings_is_refused_in_one_line(shards, vocabulary):
    folder = shards(many(10))
    state = open_stream(folder, vocabulary).state_dict()
    other = open_stream(folder, vocabulary, SETTINGS.model_copy(update={"row_tokens": 64}))
    with pytest.raises(ConfigError, match="other shards, tokenizer or stream settings") as error:
        other.load_state_dict(state)
    assert "\n" not in str(error.value)


def test_held_out_documents_are_never_trained_on(shards, vocabulary):
    folder, settings = shards(many(60)), SETTINGS.model_copy(update={"holdout_fraction": 0.3})
    trained = "".join(row_texts(epoch_of(folder, vocabulary, settings)))
    held = "".join(row_texts(list(one_pass(folder, vocabulary, settings, image_side=8, rows=2))))
    for i, one in enumerate(many(60)):
        is_held = is_held_out(one.document.id, 0.3)
        assert (f"document {i} begins." in held, f"document {i} begins." in trained) == (is_held, not is_held)
    assert 0.1 < np.mean([is_held_out(one.document.id, 0.3) for one in many(60)]) < 0.5


def test_an_empty_split_is_one_clear_line(shards, vocabulary):
    with pytest.raises(ConfigError, match="no document in the holdout split"):
        list(one_pass(shards(many(5)), vocabulary, SETTINGS, image_side=8, rows=1))


def test_the_text_only_twin_has_the_same_tokens_and_no_images(shards, vocabulary):
    broken = sample(99, "a", png(1)[:40], "b", png(2), "c")
    folder = shards([*many(30), broken])
    twin = SETTINGS.model_copy(update={"images": False})
    pairs = zip(epoch_of(folder, vocabulary), epoch_of(folder, vocabulary, twin), strict=True)
    for shown, hidden in pairs:
        assert torch.equal(shown.input_ids, hidden.input_ids)
        assert torch.equal(shown.labels, hidden.labels)
        assert (hidden.image_index == -1).all()
        assert hidden.images.shape == (0, 3, 8, 8)


def test_a_broken_image_costs_itself_and_its_token_only(shards, vocabulary):
    folder = shards([sample(0, "text", png(50), "one", b"not an image", "two", png(60), "three")])
    with open_stream(folder, vocabulary, rows=1) as stream:
        batch = next(stream)
        reasons = Counter(stream.failures.images)
    text = decode(batch.input_ids[0])
    assert text.startswith("<s>text<eoc><image>one<eoc>two<eoc><image>three<eoc></s>")
    shown = batch.image_index[0]
    characters = decode(batch.input_ids[0][batch.document_ids[0] >= 0])
    assert len(characters) == text.index("</s>") + 4
    greys = [int(batch.images[i, 0, 0, 0]) for i in shown[shown >= 0].unique()]
    assert greys == [50, 60]
    before_third = int(torch.nonzero(batch.input_ids[0] == IMAGE)[1])
    assert int(shown[before_third - 1]) == int(shown[before_third]) - 1  # "two" looks at the image before it
    assert set(reasons) == {"not_an_image"}


def test_a_broken_only_image_leaves_its_text_without_image(shards, vocabulary):
    with open_stream(shards([sample(0, b"broken", "caption")]), vocabulary, rows=1) as stream:
        batch = next(stream)
    assert decode(batch.input_ids[0]) == "<s>caption<eoc></s>"
    assert (batch.image_index == -1).all()
    assert len(batch.images) == 0


def test_too_many_broken_images_in_a_row_stop_the_run(shards, vocabulary):
    folder = shards([sample(i, b"broken", "caption") for i in range(10)])
    settings = SETTINGS.model_copy(update={"max_bad_in_a_row": 4})
    with (
        open_stream(folder, vocabulary, settings) as stream,
        pytest.raises(ShardError, match=r"4 images in a row .*max_bad_in_a_row"),
    ):
        take(stream, 20)


def test_a_damaged_sample_is_skipped_counted_and_named(shards, vocabulary, caplog):
    folder = shards(many(8))
    damage(Path(folder) / "00000.tar", b"document 3 begins")
    with open_stream(folder, vocabulary, rows=1) as stream:
        text = "".join(row_texts(take(stream, 4)))
        failures = dict(stream.failures.documents)
    assert "document 3 begins" not in text
    assert "document 4 begins" in text
    assert failures["not_a_sample"] >= 1
    assert many(8)[3].document.id in caplog.text


def test_shards_without_a_single_good_document_stop_the_run(shards, vocabulary):
    folder = shards(many(3))
    for i in range(3):
        damage(Path(folder) / "00000.tar", f"document {i} begins".encode())
    with open_stream(folder, vocabulary) as stream, pytest.raises(ShardError, match="not one of 3 documents"):
        next(stream)


def damage(shard: Path, text: bytes) -> None:
    """Break the JSON that holds `text` without changing its length."""
    data = shard.read_bytes()
    place = data.rindex(b"{", 0, data.index(text))
    shard.write_bytes(data[:place] + b"#" + data[place + 1 :])


def test_long_documents_lose_no_text(shards, vocabulary):
    long = sample(0, "start. " * 30, png(7), "middle " * 40, png(9), "end. " * 20)
    folder = shards([long, *many(5)])
    rows = epoch_of(folder, vocabulary)
    text = "".join(row_texts(rows))
    assert (text.count("start."), text.count("middle"), text.count("end.")) == (30, 40, 20)
    for batch in rows:
        for ids, index in zip(batch.input_ids, batch.image_index, strict=True):
            for word, grey in (("middle", 7), ("end.", 9)):
                for place in [i for i in range(len(decode(ids))) if decode(ids[i : i + len(word)]) == word]:
                    assert int(batch.images[index[place], 0, 0, 0]) == grey


def test_the_first_token_of_a_continuing_piece_is_never_predicted(shards, vocabulary):
    folder = shards([sample(0, "one two three. " * 30)])
    starts = 0
    for batch in epoch_of(folder, vocabulary):
        first = batch.position_ids == 0
        first &= batch.document_ids >= 0
        assert (batch.labels[first] == -100).all()
        starts += int((first & (batch.input_ids != BOS)).sum())
    assert starts >= 3  # pieces that do not begin with <s>, whose label is never a target anyway


def test_going_on_reads_one_window_again_wherever_it_is(shards, vocabulary, monkeypatch):
    folder, read = shards(many(60)), []
    real = ShardReads.read
    monkeypatch.setattr(ShardReads, "read", lambda self, places: read.extend(places) or real(self, places))

    def documents_read(taken: int) -> int:
        with open_stream(folder, vocabulary, rows=1) as first:
            take(first, taken)
            state = first.state_dict()
        reader = Reader(folder, vocabulary, SETTINGS, image_side=8)
        read.clear()
        next(reader.rows(position_of(reader, state)))
        return len(read)

    assert [documents_read(taken) for taken in (3, 50, 200)] == [SETTINGS.window_documents] * 3


KILLED = """
import json, sys
from infimm_data.stream.stream import Stream
from tests.infimm_data.stream.conftest import ENCODE_ALL, SETTINGS, decode

with Stream(sys.argv[1], ENCODE_ALL, SETTINGS, image_side=8, rows=2) as stream:
    if len(sys.argv) > 2:
        stream.load_state_dict(json.loads(sys.argv[2]))
    while True:
        batch = next(stream)
        rows = [decode(row) for row in batch.input_ids]
        print(json.dumps([rows, batch.images.sum().item(), stream.state_dict()]), flush=True)
"""


def test_a_killed_stream_goes_on_exactly_in_another_process(shards, vocabulary):
    folder, seen, state = shards(many(40)), [], []
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, folder, *state]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
            lines = [json.loads(process.stdout.readline()) for _ in range(7)]
            process.kill()
        seen += [line[:2] for line in lines]
        state = [json.dumps(lines[-1][2])]
    with open_stream(folder, vocabulary) as whole:
        expected = [[row_texts([batch]), batch.images.sum().item()] for batch in take(whole, 14)]
    assert seen == expected


def test_images_per_row_are_bounded_and_no_document_loses_one(shards, vocabulary):
    parts = [part for i in range(9) for part in (png(20 + i), f"image {i}.")]
    folder = shards([sample(0, *parts), *many(12)])
    rows = epoch_of(folder, vocabulary, SETTINGS.model_copy(update={"max_images": 2}), rows=1)
    assert max(len(batch.images) for batch in rows) == 2
    assert "".join(row_texts(rows)).count("<image>") == 9 + sum(i % 3 for i in range(12))
    shown = {int(image[0, 0, 0]) for batch in rows for image in batch.images}
    assert {20 + i for i in range(9)} <= shown


def test_the_first_batch_waits_for_no_import_that_it_does_not_need(shards):
    folder = shards(many(20))
    code = (
        "import sys; from infimm_data.stream.stream import Stream; from tests.infimm_data.stream.conftest import *\n"
        f"with Stream({folder!r}, ENCODE_ALL, SETTINGS, image_side=8, rows=2) as stream: next(stream)\n"
        "print({'pandas', 'pyarrow.compute', 'pyarrow.dataset', 'numpy.ma', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.stdout == "set()\n", done.stderr
