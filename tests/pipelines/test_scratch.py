"""Room for what is held per document: memory first, then files without a name."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.scratch import Scratch, on_disk


def test_arrays_beyond_the_limit_are_files_and_what_is_let_go_makes_room_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch(100)
    first = scratch.full(10, 3, np.int64)
    second = scratch.full(10, 4, np.int64)
    assert (type(first), type(second)) == (np.ndarray, np.memmap)
    assert (first.tolist(), second.tolist()) == ([3] * 10, [4] * 10)
    second[2] = 5
    assert second.tolist()[:4] == [4, 4, 5, 4]
    assert list(tmp_path.iterdir()) == [], "a process that is killed leaves nothing"
    del first
    assert type(scratch.full(10, 0, np.int64)) is np.ndarray


def test_nothing_takes_no_room():
    assert Scratch(0).full(0, 0, np.int64).tolist() == []


def test_a_table_on_disk_takes_no_memory_of_its_own_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table = pa.table({"a": pa.chunked_array([[1, None], [3]]), "b": ["x", "", None]})
    before = pa.total_allocated_bytes()
    found = on_disk(table)
    assert found.equals(table)
    assert pa.total_allocated_bytes() - before < 1_000
    assert list(tmp_path.iterdir()) == []
    assert on_disk(table.slice(0, 0)).num_rows == 0
