"""What a row is made of: the row of the stream itself, each document where it lies, each image where it is seen."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from infimm_data.errors import ConfigError
from infimm_data.stream.explain import explain, find_row, runs_of
from infimm_data.stream.reader import Reader
from infimm_data.stream.stream import Stream, position_of
from tests.infimm_data.stream.conftest import SETTINGS, decode, many, png, sample


def reader_of(folder, vocabulary, settings=SETTINGS) -> Reader:
    return Reader(folder, vocabulary, settings, image_side=8)


def explained(reader, number, known=()):
    return explain(reader, *find_row(reader, number, known))


def test_a_row_is_found_again_with_and_without_positions_of_the_run(shards, vocabulary):
    folder = shards(many(40))
    with Stream(folder, vocabulary, SETTINGS, image_side=8, rows=3) as stream:
        batches, states = [], []
        for _ in range(12):
            batches.append(next(stream))
            states.append(json.loads(json.dumps(stream.state_dict())))
    assert [state["rows"] for state in states] == list(range(3, 39, 3))
    known = [position_of(reader_of(folder, vocabulary), states[i]) for i in (3, 8)]
    for number in (0, 1, 11, 12, 13, 29, 35):
        plain = explained(reader_of(folder, vocabulary), number)
        batch = batches[number // 3]
        assert any(torch.equal(plain.batch.input_ids[0], row) for row in batch.input_ids)
        assert plain.position.rows == number
        again = explained(reader_of(folder, vocabulary), number, known)
        assert (again.documents, again.images, again.position) == (plain.documents, plain.images, plain.position)


def test_known_positions_shorten_the_way(shards, vocabulary):
    folder = shards(many(40))
    reader = reader_of(folder, vocabulary)
    far = explained(reader, 150).position
    first = next(iter(reader.windows(far)))
    assert first.start == far
    assert first.rows[far.row][0].tokens.ids.tolist() == find_row(reader, 150, [far])[0][0].tokens.ids.tolist()


def test_documents_and_images_are_named_where_they_are(shards, vocabulary):
    folder = shards(many(40))
    reader = reader_of(folder, vocabulary)
    for number in range(12):
        row = explained(reader, number)
        for place, one in enumerate(row.documents):
            data = (Path(folder) / one.shard).read_bytes()[one.offset : one.offset + one.size]
            assert data.startswith(f"{one.key}.json".encode())
            text = decode(row.batch.input_ids[0][slice(*one.tokens)])
            begins = text.startswith("<s>")
            assert begins == (one.part[0] == 0)
            assert text.endswith("</s>") == (one.part[1] == one.total)
            assert (row.batch.document_ids[0][slice(*one.tokens)] == place).all()
        for image, one in enumerate(row.images):
            grey = int(row.batch.images[image, 0, 0, 0])
            number_of = int(one.url.split("/")[-2])
            assert grey == number_of * 2 + int(one.file.split(".")[0])
            seen = [slot for first, stop in one.seen_by for slot in range(first, stop)]
            assert seen == torch.nonzero(row.batch.image_index[0] == image).flatten().tolist()


def test_a_broken_image_is_named(shards, vocabulary):
    folder = shards([sample(0, "text", png(50), "one", b"not an image", "two")])
    row = explained(reader_of(folder, vocabulary), 0)
    assert [(one.file, one.document) for one in row.images] == [("0.png", 0)]
    assert [(one.reason, one.what.split()[-1]) for one in row.skipped] == [("not_an_image", "1.png")]


def test_a_row_after_the_end_of_the_stream_is_one_clear_line(shards, vocabulary):
    folder = shards(many(10))
    reader = reader_of(folder, vocabulary, SETTINGS.model_copy(update={"epochs": 1}))
    with pytest.raises(ConfigError, match=r"row 99: the stream ends after \d+ rows"):
        find_row(reader, 99)


@pytest.mark.parametrize(
    ("mask", "runs"), [([], ()), ([0, 0], ()), ([1, 1], ((0, 2),)), ([0, 1, 0, 1, 1], ((1, 2), (3, 5)))]
)
def test_runs_of_a_mask(mask, runs):
    assert runs_of(np.array(mask, dtype=bool)) == runs
