"""Rows of annotation files: every layout, streamed, with what is damaged named and its neighbours kept."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc

import pytest

from infimm_data.errors import SourceError
from pipelines.annotations.rows import Row, read_json, read_rows
from pipelines.sources.contract import Skipped, WorkItem


def read(data: bytes, place: str | None = None):
    return list(read_json(io.BytesIO(data), place))


def item_of(path) -> WorkItem:
    return WorkItem(index=0, name=path.name, path=str(path), size_bytes=1)


def test_a_json_list_is_its_rows_whatever_the_place():
    for place in (None, "data", ""):
        assert read(b'\xef\xbb\xbf \n[{"a": 1}, 2, "x"]', place) == [Row(0, {"a": 1}), Row(1, 2), Row(2, "x")]


def test_a_list_inside_an_object_is_found_by_its_name():
    data = b'{"info": {"data": [9]}, "data": [{"a": 1}, {"a": 2}], "more": [{"a": 3}]}'
    assert read(data, "data") == [Row(0, {"a": 1}), Row(1, {"a": 2})]
    assert read(data, "absent") == []


def test_an_object_of_rows_gives_each_with_its_key():
    assert read(b'{"7": {"a": 1}, "x.y": {"a": 2}}', "") == [Row(0, {"a": 1}, "7"), Row(1, {"a": 2}, "x.y")]


def test_a_list_that_breaks_off_gives_every_row_before_the_break():
    *rows, damage = read(b'[{"a": 1}, {"a": 2}, {"a": ')
    assert rows == [Row(0, {"a": 1}), Row(1, {"a": 2})]
    assert (damage.reason, damage.offset, "breaks after 2 rows" in damage.detail) == ("damaged_record", 2, True)
    assert "\n" not in damage.detail


def test_numbers_stay_what_they_are():
    (row,) = read(b'[{"id": 12345678901234567890123, "n": 1.5, "t": true, "z": null}]')
    assert row.data == {"id": 12345678901234567890123, "n": 1.5, "t": True, "z": None}


def test_lines_have_their_byte_as_offset_and_a_broken_one_costs_itself(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n{"a": \n{"b": "\xff"}\r\n  {"a": 2}')
    found = list(read_rows(item_of(tmp_path / "a.jsonl")))
    assert [row.offset for row in found] == [0, 10, 17, 29]
    assert [type(row) for row in found] == [Row, Skipped, Skipped, Row]
    assert found[3] == Row(29, {"a": 2})


@pytest.mark.parametrize("data", [b"", b"  \n ", b"\xef\xbb\xbf", b"[]"])
def test_an_empty_file_has_no_rows(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    assert [row for row in read_rows(item_of(tmp_path / "a.json")) if isinstance(row, Row)] == []


def test_a_long_list_is_read_in_the_memory_of_one_row(tmp_path):
    path = tmp_path / "rows.json"
    row = json.dumps({"value": "x" * 1000})
    with path.open("w") as file:
        file.write("[" + ",".join([row] * 20_000) + "]")  # 20 MB
    tracemalloc.start()
    count = sum(1 for _ in read_rows(item_of(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 3_000_000


def test_a_gz_file_is_inflated_and_a_broken_one_is_a_clear_error(tmp_path):
    whole = gzip.compress(b'[{"a": 1}]')
    (tmp_path / "a.json.gz").write_bytes(whole)
    assert list(read_rows(item_of(tmp_path / "a.json.gz"))) == [Row(0, {"a": 1})]
    (tmp_path / "b.json.gz").write_bytes(whole[:-12])
    with pytest.raises(SourceError, match=r"b\.json\.gz: cannot be read"):
        list(read_rows(item_of(tmp_path / "b.json.gz")))


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_rows(item_of(tmp_path / "none.json")))
