"""Segments: a reader gets the records of its partitions, all of them, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest

from infimm_data.links import PAIR
from pipelines.dedup.segments import open_segments, read_in_pieces, read_segments


def write(path, values, partitions, pieces):
    records = np.array([(value, value) for value in values], dtype=PAIR)
    with open_segments(str(path), PAIR, partitions) as out:
        for some in np.array_split(records, pieces):
            out.add(some, some["left"] % partitions)
            out.flush()
    return out.num_records.tolist()


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_partition_is_read_alone_and_in_order(tmp_path, pieces):
    assert write(tmp_path / "a", range(20), 3, pieces) == [7, 7, 6]
    found = read_segments([str(tmp_path / "a")], PAIR, 1, 2)
    assert found["left"].tolist() == list(range(1, 20, 3))
    assert sorted(read_segments([str(tmp_path / "a")], PAIR, 0, 2)["left"] % 3)[-1] == 1


def test_files_are_read_one_after_the_other_and_nothing_is_fine(tmp_path):
    write(tmp_path / "a", [4, 2], 1, 1)
    write(tmp_path / "b", [], 1, 1)
    write(tmp_path / "c", [9], 1, 1)
    paths = [str(tmp_path / name) for name in "abc"]
    assert read_segments(paths, PAIR, 0, 1)["left"].tolist() == [4, 2, 9]
    assert len(read_segments([], PAIR, 0, 1)) == 0
    assert list(read_in_pieces(paths[1:2], PAIR, 0, 1, 10)) == []


def test_pieces_hold_about_as_much_as_asked_and_all_of_it(tmp_path):
    write(tmp_path / "a", range(100), 2, 10)
    pieces = list(read_in_pieces([str(tmp_path / "a")], PAIR, 0, 2, 300))
    assert [len(piece) for piece in pieces] == [20] * 5
    assert sorted(np.concatenate(pieces)["left"].tolist()) == list(range(100))


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), open_segments(str(tmp_path / "a"), PAIR, 1):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
