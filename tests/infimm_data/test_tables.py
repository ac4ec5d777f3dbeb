"""Parquet tables of documents and measures."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import infimm_data.tables as tables
from infimm_data.document import Document, ImageNode, Origin, TextNode, document_id
from infimm_data.tables import (
    DOCUMENTS,
    document_chars,
    document_row,
    fingerprint,
    measures_table,
    open_table,
    read_documents,
    read_metadata,
    read_table,
    write_table,
)


def number(n):
    origin = Origin(dump="d", offset=n, url=f"https://a.example/{n}")
    nodes = (TextNode(text=f"text {n}", role="user", loss=False), ImageNode(url="u", alt="a", width=1))
    return Document(id=document_id(origin), nodes=nodes, origin=origin)


def write(path, documents, counts=None):
    with open_table(str(path), DOCUMENTS, fingerprint="print") as table:
        for document in documents:
            table.add(document_row(document), document_chars(document))
        table.counts.update(counts or {})


@pytest.mark.parametrize("text", ["", "a\0b", "日本\n\n語 😀", "x" * 3_000_000, "\u202e\ufeff"])
def test_a_document_survives_its_table(tmp_path, text):
    document = Document(id="a", nodes=(TextNode(text=text), ImageNode(url=text, alt=text)), origin=Origin(url=text))
    write(tmp_path / "d.parquet", [document])
    assert list(read_documents(str(tmp_path / "d.parquet"))) == [document]


def test_lone_surrogates_become_replacement_characters(tmp_path):
    write(tmp_path / "d.parquet", [Document(id="a", nodes=(TextNode(text="\ud800a"),), origin=Origin(url="\udcff"))])
    (read,) = read_documents(str(tmp_path / "d.parquet"))
    assert (read.text, read.origin.url) == ("\ufffda", "\ufffd")


def test_what_the_dump_measured_survives_the_table(tmp_path):
    image = ImageNode(url="u", scores={"similarity": 0.25, "faces": 0, "nsfw": "UNSURE", "watermark": None})
    document = Document(id="a", nodes=(TextNode(text="t"), image), measures={"fluency": 1.0})
    write(tmp_path / "d.parquet", [document, Document(id="b", nodes=(ImageNode(url="v"),))])
    first, second = read_documents(str(tmp_path / "d.parquet"))
    assert first == document
    assert (second.measures, second.images[0].scores) == ({}, {})


def test_a_table_without_documents_is_a_table(tmp_path):
    write(tmp_path / "d.parquet", [], {"documents": 0})
    assert list(read_documents(str(tmp_path / "d.parquet"))) == []
    assert read_metadata(str(tmp_path / "d.parquet")) == ("print", {"documents": 0})


def test_a_document_without_nodes_survives(tmp_path):
    write(tmp_path / "d.parquet", [Document(id="a", nodes=())])
    assert list(read_documents(str(tmp_path / "d.parquet"))) == [Document(id="a", nodes=())]


@pytest.mark.parametrize("rows", [[], [0], [2, 3], [0, 4, 8], [9], list(range(10))])
def test_rows_are_chosen_across_row_groups(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 3)
    documents = [number(n) for n in range(10)]
    write(tmp_path / "d.parquet", documents)
    assert pq.ParquetFile(tmp_path / "d.parquet").num_row_groups == 4
    assert list(read_documents(str(tmp_path / "d.parquet"), rows)) == [documents[row] for row in rows]


def test_long_documents_close_a_row_group_early(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BYTES_PER_GROUP", 100)
    write(tmp_path / "d.parquet", [Document(id=str(n), nodes=(TextNode(text="x" * 60),)) for n in range(4)])
    assert pq.ParquetFile(tmp_path / "d.parquet").num_row_groups == 3  # two, two, and the empty rest


def test_counts_may_be_filled_until_the_block_ends(tmp_path):
    write(tmp_path / "d.parquet", [number(1)], {"documents": 1, "skipped": {"http_404": 2}})
    assert read_metadata(str(tmp_path / "d.parquet")) == ("print", {"documents": 1, "skipped": {"http_404": 2}})


def failing_documents():
    yield number(1)
    raise KeyError


@pytest.mark.parametrize("documents", [failing_documents(), [number(1), Document(id=3, nodes=())]])
def test_an_exception_leaves_no_file(tmp_path, documents):
    with pytest.raises((KeyError, pa.ArrowException)):
        write(tmp_path / "d.parquet", documents)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_absent_or_damaged_has_no_fingerprint(tmp_path):
    path = tmp_path / "d.parquet"
    write(path, [number(n) for n in range(3)])
    whole = path.read_bytes()
    assert read_metadata(str(tmp_path / "absent")) == (None, {})
    for broken in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[:-200] + b"\0" * 200, whole + b"x"):
        path.write_bytes(broken)
        assert read_metadata(str(path)) == (None, {})


def test_the_footer_of_a_strange_parquet_file_is_not_ours(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "d.parquet")
    assert read_metadata(str(tmp_path / "d.parquet")) == (None, {})


def test_an_equal_table_is_not_written_again(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(str(path), pa.table({"a": [1.0]}), fingerprint="x", counts={"n": 1})
    before = path.stat().st_ino
    write_table(str(path), pa.table({"a": [1.0]}), fingerprint="x", counts={"n": 1})
    assert path.stat().st_ino == before
    write_table(str(path), pa.table({"a": [1.0]}), fingerprint="y", counts={"n": 1})
    assert path.stat().st_ino != before


def test_tables_lie_on_any_file_system():
    path = "memory://tables/t.parquet"
    write_table(path, pa.table({"a": [1], "b": [2]}), fingerprint="x")
    assert read_table(path, columns=["b"]).to_pydict() == {"b": [2]}


def test_a_fingerprint_depends_on_every_part_and_not_on_the_order_of_keys():
    assert fingerprint("a", {"x": 1, "y": (2, 3)}) == fingerprint("a", {"y": [2, 3], "x": 1})
    assert len({fingerprint("a", 1), fingerprint("a", 2), fingerprint("a"), fingerprint("a", "1"), fingerprint()}) == 5


def test_measures_are_numbers_or_slugs_and_none_where_not_measured():
    rows = [{"n": 1, "s": "x", "b": True, "none": None}, {"n": 2.5, "s": None}]
    table = measures_table({"id": ["a", "b"]}, rows)
    assert table.to_pydict() == {
        "id": ["a", "b"], "n": [1.0, 2.5], "s": ["x", None], "b": [1.0, None], "none": [None, None],
    }  # fmt: skip
    assert table.schema.field("n").type == pa.float64()


def test_measures_of_no_rows_still_have_their_columns_and_join_with_those_of_others():
    empty = measures_table({"id": [], "node": [], "url": []}, [], ["n", "s"])
    full = measures_table({"id": ["a"], "node": [0], "url": ["u"]}, [{"n": 1, "s": "x"}])
    joined = pa.concat_tables([empty, full], promote_options="permissive")
    assert joined.to_pylist() == [{"id": "a", "node": 0, "url": "u", "n": 1.0, "s": "x"}]


def test_nan_is_a_number_in_a_table():
    (value,) = measures_table({"id": ["a"]}, [{"n": math.nan}]).column("n").to_pylist()
    assert math.isnan(value)
