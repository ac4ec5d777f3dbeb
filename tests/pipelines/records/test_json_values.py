"""Rows of annotation files: every layout, streamed, with what is damaged named and its neighbours kept."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import Skipped, WorkItem


def row(offset, data, key=""):
    return Record("a.json", offset, data, key)


@pytest.fixture
def read(tmp_path):
    """Return a function that writes bytes into a file and returns the records of one JSON value."""

    def read_file(data: bytes, place: str | None = None):
        (tmp_path / "a.json").write_bytes(data)
        return rows_of(tmp_path / "a.json", place)

    return read_file


def rows_of(path, place=None):
    return list(read_rows(item_of(path), RowFormat(place=place, accepts_any=True, max_bytes=1 << 27)))


def item_of(path) -> WorkItem:
    return WorkItem(index=0, name=path.name, path=str(path), size_bytes=1)


def test_a_json_list_is_its_rows_whatever_the_place(read):
    for place in (None, "data", ""):
        assert read(b'\xef\xbb\xbf \n[{"a": 1}, 2, "x"]', place) == [row(0, {"a": 1}), row(1, 2), row(2, "x")]


def test_a_list_inside_an_object_is_found_by_its_name(read):
    data = b'{"info": {"data": [9]}, "data": [{"a": 1}, {"a": 2}], "more": [{"a": 3}]}'
    assert read(data, "data") == [row(0, {"a": 1}), row(1, {"a": 2})]
    assert read(data, "absent") == []


def test_an_object_of_rows_gives_each_with_its_key(read):
    assert read(b'{"7": {"a": 1}, "x.y": {"a": 2}}', "") == [row(0, {"a": 1}, "7"), row(1, {"a": 2}, "x.y")]


@pytest.mark.parametrize(("place", "begin", "end"), [(None, b"[", b"]"), ("", b'{"k": ', b"}")])
def test_a_record_that_is_too_large_is_not_held_and_those_before_it_are_kept(tmp_path, place, begin, end):
    path = tmp_path / "a.json"
    row_ = {None: b'{"a": 1}, ', "": b'{"a": 1}, "l": '}[place]
    path.write_bytes(begin + row_ + b'{"a": "' + b"x" * 30_000_000 + b'"}' + end)
    tracemalloc.start()
    rows = list(read_rows(item_of(path), RowFormat(place=place, max_bytes=1_000_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.reason if isinstance(one, Skipped) else one.data for one in rows] == [{"a": 1}, "record_too_large"]
    assert rows[1].detail == "a.json: over 1000000 bytes in row 1; the rest is lost"
    assert peak < 5_000_000


@pytest.mark.parametrize("depth", [20_000, 200_000])
def test_a_row_that_is_nested_too_deeply_costs_itself_and_none_can_take_the_memory(read, depth):
    deep = b"[" * 600 + b"]" * 600
    first, second = read(b'[{"a": ' + deep + b'}, {"a": "[[["}]')
    assert (first.reason, first.detail) == ("not_json", "a.json: row 0 is nested too deeply")
    assert second.data == {"a": "[[["}
    deep = b"[" * depth + b"]" * depth
    *rows, last = read(b"[" + b'{"a": 1}, ' * 3000 + b'{"a": ' + deep + b"}]")
    assert [one.data for one in rows] == [{"a": 1}] * 3000
    assert last.reason == "record_too_large"
    assert last.detail == "a.json: 5000 unclosed brackets in row 3000; the rest is lost"


def test_a_long_list_that_stands_before_or_behind_the_rows_is_no_record(tmp_path):
    other = b"[" + b'"xxxxxxxxx", ' * 300_000 + b'""]'
    (tmp_path / "a.json").write_bytes(
        b'{"images": ' + other + b', "data": [{"a": 1}, {"a": 2}], "more": ' + other + b"}"
    )
    found = list(read_rows(item_of(tmp_path / "a.json"), RowFormat(place="data", max_bytes=100_000)))
    assert [one.data for one in found] == [{"a": 1}, {"a": 2}]


def test_a_list_that_breaks_off_gives_every_row_before_the_break(read):
    *rows, damage = read(b'[{"a": 1}, {"a": 2}, {"a": ')
    assert rows == [row(0, {"a": 1}), row(1, {"a": 2})]
    assert (damage.reason, damage.offset, "breaks after 2 rows" in damage.detail) == ("damaged_record", 2, True)
    assert "\n" not in damage.detail


def test_numbers_stay_what_they_are(read):
    (found,) = read(b'[{"id": 12345678901234567890123, "n": 1.5, "t": true, "z": null}]')
    assert found.data == {"id": 12345678901234567890123, "n": 1.5, "t": True, "z": None}


def test_lines_have_their_byte_as_offset_and_a_broken_one_costs_itself(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n{"a": \n{"b": "\xff"}\r\n  {"a": 2}')
    found = rows_of(tmp_path / "a.jsonl")
    assert [one.offset for one in found] == [0, 10, 17, 29]
    assert [type(one) for one in found] == [Record, Skipped, Skipped, Record]
    assert found[3] == Record("a.jsonl", 29, {"a": 2})


@pytest.mark.parametrize("data", [b"", b"  \n ", b"\xef\xbb\xbf", b"[]"])
def test_an_empty_file_has_no_rows(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    assert [one for one in rows_of(tmp_path / "a.json") if isinstance(one, Record)] == []


def test_a_long_list_is_read_in_the_memory_of_one_row(tmp_path):
    path = tmp_path / "rows.json"
    entry = json.dumps({"value": "x" * 1000})
    with path.open("w") as file:
        file.write("[" + ",".join([entry] * 20_000) + "]")  # 20 MB
    tracemalloc.start()
    count = sum(1 for _ in read_rows(item_of(path), RowFormat(max_bytes=1 << 27)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 3_000_000


def test_a_gz_file_is_inflated_and_of_a_broken_one_the_rows_before_the_damage_are_read(tmp_path):
    rows = b"[" + b",".join(b'{"n": %d, "x": "%d"}' % (n, n * 7919 % 10007) for n in range(3000)) + b"]"
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(rows))
    assert [one.data["n"] for one in rows_of(tmp_path / "a.json.gz")] == list(range(3000))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(rows)[:-2000])
    *whole, damage = rows_of(tmp_path / "b.json.gz")
    assert [one.data["n"] for one in whole] == list(range(len(whole)))
    assert len(whole) > 1000
    assert damage.reason == "damaged_record"


def test_numbers_that_no_float_holds_become_infinite_and_cost_no_row(read):
    assert [one.data["n"] for one in read(b'[{"n": 1e999}, {"n": [0.5]}]')] == [float("inf"), [0.5]]


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        rows_of(tmp_path / "none.json")
