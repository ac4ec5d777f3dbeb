"""Index rows in every layout, and every way in which a row or a table can be wrong."""

from __future__ import annotations

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.errors import SourceError
from pipelines.archives.captures import INDEX, BadRow, Capture
from pipelines.archives.captures import read_captures as read_item
from pipelines.records.rows import columns_of, count_rows
from pipelines.sources.contract import WorkItem


def item_of(path):
    return WorkItem(index=0, name=str(path).rpartition("/")[2], path=str(path), size_bytes=1)


def read_captures(path, first, last):
    return read_item(item_of(path), first, last)


ROWS = [("w/a.warc.gz", 10 * n, 5 + n, f"https://a.example/{n}") for n in range(7)]
CAPTURES = [Capture(*row) for row in ROWS]
COLUMNAR = ("warc_filename", "warc_record_offset", "warc_record_length", "url")
SHORT = ("filename", "offset", "length", "url")


def write(path, names=COLUMNAR, rows=ROWS):
    """Write rows in the layout that the suffix says."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    dicts = [dict(zip(names, row, strict=True)) | {"other": "x"} for row in rows]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(dicts), path, row_group_size=3)
        return str(path)
    mark = {"csv": ",", "tsv": "\t"}.get(kind)
    if mark:
        lines = [mark.join(dicts[0]), *(mark.join(map(str, row.values())) for row in dicts)]
    elif kind == "cdxj":
        lines = [f"example,a)/ 2023 {json.dumps({k: str(v) for k, v in row.items()})}" for row in dicts]
    else:
        lines = [json.dumps(row) for row in dicts]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


@pytest.mark.parametrize(
    "name", ["i.parquet", "i.csv", "i.csv.gz", "i.tsv", "i.jsonl", "i.jsonl.gz", "i.cdxj", "i.cdxj.gz"]
)
@pytest.mark.parametrize("names", [COLUMNAR, SHORT], ids=["columnar", "short"])
def test_every_layout_gives_the_same_rows(tmp_path, name, names):
    path = write(tmp_path / name, names)
    assert count_rows(item_of(path)) == 7
    assert list(read_captures(path, 0, 7)) == CAPTURES
    assert list(read_captures(path, 2, 5)) == CAPTURES[2:5]
    assert list(read_captures(path, 6, 9)) == CAPTURES[6:]
    assert set(names) <= set(columns_of(item_of(path), INDEX))


def test_obelics_as_published_is_an_index_too(tmp_path):
    rows = [{"texts": "x", "general_metadata": json.dumps(dict(zip(COLUMNAR, row, strict=True)))} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "o.parquet")
    assert list(read_captures(str(tmp_path / "o.parquet"), 0, 7)) == CAPTURES


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("../../etc/passwd", 0, 5, "u"), "expected a path below the base"),
        (("/etc/passwd", 0, 5, "u"), "expected a path below the base"),
        (("http://evil.example/a", 0, 5, "u"), "expected a path below the base"),
        (("a::file:b", 0, 5, "u"), "expected a path below the base"),
        (("", 0, 5, "u"), "expected a path below the base"),
        (("a", -1, 5, "u"), "offset -1, length 5"),
        (("a", 0, 0, "u"), "offset 0, length 0"),
        (("a", "x", 5, "u"), "expected numbers"),
        (("a", None, 5, "u"), "expected numbers"),
    ],
)
def test_a_row_that_points_nowhere_costs_only_itself(tmp_path, row, problem):
    path = write(tmp_path / "i.jsonl", rows=[ROWS[0], row, ROWS[1]])
    first, bad, last = read_captures(path, 0, 3)
    assert (first, last) == (CAPTURES[0], CAPTURES[1])
    assert isinstance(bad, BadRow)
    assert bad.row == 1
    assert problem in bad.problem


def test_lines_that_are_no_rows_are_bad_rows(tmp_path):
    (tmp_path / "i.jsonl").write_text("[1]\nnot json\n" + "[" * 100_000 + "\n\n{}\n")
    path = str(tmp_path / "i.jsonl")
    assert count_rows(item_of(path)) == 4
    assert [type(row) for row in read_captures(path, 0, 4)] == [BadRow] * 4


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("i.parquet", b"no", "cannot be read as Parquet"),
        ("i.csv", b"x" * (1 << 21), "no header"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_clear_line(tmp_path, name, data, problem):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=problem) as caught:
        list(read_captures(str(tmp_path / name), 0, 200))
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("i.jsonl.gz", gzip.compress(b"{}\n" * 100)[:-9], "damaged_record: .* the rest is lost"),
        ("i.jsonl", b"x" * (1 << 21), "record_too_large"),
    ],
)
def test_what_is_lost_of_an_index_is_a_bad_row_that_says_so(tmp_path, name, data, problem):
    (tmp_path / name).write_bytes(data)
    found = list(read_captures(tmp_path / name, 0, 200))
    assert {type(row) for row in found} == {BadRow}
    assert re.search(problem, found[-1].problem)
    assert count_rows(item_of(tmp_path / name)) == len(found)


@pytest.mark.parametrize("name", ["i.csv", "i.jsonl"])
def test_an_empty_table_has_no_rows(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert count_rows(item_of(tmp_path / name)) == 0
    (found,) = read_captures(str(tmp_path / name), 0, 5)
    assert found == BadRow(0, f"empty_file: {name}: 0 bytes; is the download whole?")
