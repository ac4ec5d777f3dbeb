"""Room for what is held per document: memory first, then files that leave nothing behind."""

from __future__ import annotations

import numpy as np

from pipelines.scratch import Scratch


def test_arrays_beyond_the_limit_are_files_and_what_is_let_go_makes_room_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch(100)
    first = scratch.full(10, 3, np.int64)
    second = scratch.full(10, 4, np.int64)
    assert (type(first), type(second)) == (np.ndarray, np.memmap)
    assert (first.tolist(), second.tolist()) == ([3] * 10, [4] * 10)
    second[2] = 5
    assert second.tolist()[:4] == [4, 4, 5, 4]
    del first
    assert type(scratch.full(10, 0, np.int64)) is np.ndarray


def test_files_go_with_what_gave_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch(0)
    (folder,) = tmp_path.iterdir() if scratch.path() else ()
    del scratch
    assert not folder.exists()


def test_nothing_takes_no_room():
    assert Scratch(0).full(0, 0, np.int64).tolist() == []
