"""NaN and Infinity, which Python writes into JSON, are null: in a stream cut anywhere, in lines, never in a text."""

from __future__ import annotations

import io
import json

import pytest

from pipelines.records.json_constants import StandardJson, loads
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import WorkItem

VALUES = [
    float("nan"), float("inf"), -float("inf"), "NaN", 'a "NaN" b', "\\", "\\\\NaN", '\\"Infinity', "-Infinity",
    {"NaN": float("nan"), 'x"\\': [-float("inf"), -1.5, None, True]}, "é日NaN", "",
]  # fmt: skip
EXPECTED = [
    None, None, None, "NaN", 'a "NaN" b', "\\", "\\\\NaN", '\\"Infinity', "-Infinity",
    {"NaN": None, 'x"\\': [None, -1.5, None, True]}, "é日NaN", "",
]  # fmt: skip


class Chunks(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read1(self, size=-1):
        return super().read(self._size)


def read_all(stream):
    return b"".join(iter(lambda: stream.read(100), b""))


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("size", [*range(1, 24), 10_000])
def test_constants_become_null_however_the_stream_is_cut(size, ensure_ascii):
    text = json.dumps(VALUES, ensure_ascii=ensure_ascii).encode()
    found = read_all(StandardJson(Chunks(text, size)))
    assert b"NaN, " not in found
    assert json.loads(found) == EXPECTED == loads(text)


def test_what_has_no_constant_is_given_as_it_is():
    text = b'[{"a": "' + b"x" * 50 + b"\\', nonsense\\"
    assert read_all(StandardJson(Chunks(text, 7))) == text


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_rows_with_a_constant_cost_neither_themselves_nor_what_follows(tmp_path, name):
    rows = [{"n": n, "image": float("nan") if n % 2 else "a.jpg"} for n in range(50)]
    lines = name.endswith("l")
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows))
    item = WorkItem(index=0, name=name, path=str(tmp_path / name), size_bytes=1)
    found = [record.data for record in read_rows(item, RowFormat())]
    assert found == [{"n": n, "image": None if n % 2 else "a.jpg"} for n in range(50)]


def test_bytes_that_are_no_json_are_said_to_be_none():
    for broken in (b"{", b"\xff\xfe{", b'{"a": nan}', b"\xed"):
        with pytest.raises(ValueError, match=r"."):
            loads(broken)
