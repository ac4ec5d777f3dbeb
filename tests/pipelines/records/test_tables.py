"""Rows of Parquet files and Arrow streams: what is damaged is counted row by row, the rest is read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.records.frame import row_items
from pipelines.records.parts import table_parts
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import WorkItem

TABLE = pa.table({"n": list(range(300)), "texts": [["a", None]] * 300, "extra": [1] * 300})


def read(path, columns=("n", "texts", "absent"), required=("texts",)):
    item = WorkItem(index=0, name=path.name, path=str(path), size_bytes=1)
    return list(read_rows(item, RowFormat(columns=columns, required=required)))


def short(found):
    return [one.data["n"] if isinstance(one, Record) else one.reason for one in found]


def arrow_stream(path, *, as_file=False):
    with (pa.ipc.new_file if as_file else pa.ipc.new_stream)(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=100)
    return path


def test_parquet_arrow_streams_and_arrow_files_give_the_same_rows(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=130)
    paths = [tmp_path / "a.parquet", arrow_stream(tmp_path / "a.arrow")]
    paths.append(arrow_stream(tmp_path / "b.arrow", as_file=True))
    for path in paths:
        found = read(path)
        assert [(one.offset, one.data["n"]) for one in found] == [(n, n) for n in range(300)]
        assert found[0].data == {"n": 0, "texts": ["a", None]}


@pytest.mark.parametrize("cut", [10, -1, -200])
def test_a_parquet_file_that_was_cut_off_fails_in_one_line(tmp_path, cut):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:cut])
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read as Parquet or Arrow .*is the download whole"):
        read(tmp_path / "a.parquet")


def test_a_damaged_row_group_costs_its_own_rows_each_counted(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, row_group_size=100, compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = b"\xee" * chunk.total_compressed_size
    path.write_bytes(bytes(data))
    assert short(read(path)) == [*range(100), *["damaged_record"] * 100, *range(200, 300)]


def test_a_row_group_that_gives_fewer_rows_than_it_says_counts_each_that_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path, row_group_size=100)
    whole = pq.ParquetFile.iter_batches

    def fewer(self, size, row_groups, columns):  # as a flipped byte in a page header makes pyarrow do
        batches = whole(self, size, row_groups=row_groups, columns=columns)
        return (batch.slice(0, 40) if row_groups == [1] else batch for batch in batches)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fewer)
    assert short(read(path)) == [*range(140), *["damaged_record"] * 60, *range(200, 300)]


def test_a_footer_whose_names_are_no_text_fails_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"texts": ["a"], "naaame": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"naaame", b"n\xb2\xb2\xb2me"))
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read as Parquet or Arrow .*is the download whole"):
        read(path)
    assert len(table_parts(str(tmp_path), 100, (".parquet",), kind="t")) == 1


def test_an_arrow_stream_that_was_cut_off_gives_what_is_whole_and_says_so(tmp_path):
    path = arrow_stream(tmp_path / "a.arrow")
    path.write_bytes(path.read_bytes()[:-1500])
    assert short(read(path)) == [*range(200), "damaged_record"]


def test_text_that_is_no_utf8_costs_its_row(tmp_path):
    broken = pa.array([b"good", b"\xff\xff", b"also"]).cast(pa.binary())
    column = pa.StringArray.from_buffers(3, broken.buffers()[1], broken.buffers()[2])
    pq.write_table(pa.table({"n": [0, 1, 2], "texts": column}), tmp_path / "a.parquet")
    assert short(read(tmp_path / "a.parquet")) == [0, "not_utf8", 2]


def test_a_table_without_the_column_that_makes_it_one_of_the_set_fails_in_one_line(tmp_path):
    pq.write_table(TABLE.select(["n", "extra"]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: no column texts; it has n, extra\."):
        read(tmp_path / "a.parquet")


def test_of_a_saved_folder_the_data_alone_are_work_items(tmp_path):
    for name in ("data-00001-of-00002.arrow", "data-00000-of-00002.arrow", "cache-1234.arrow"):
        arrow_stream(tmp_path / name)
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "dataset_info.json").write_text("{}")
    items = row_items(str(tmp_path), "train", "obelics")
    assert [(one.index, one.name) for one in items] == [
        (0, "data-00000-of-00002.arrow"),
        (1, "data-00001-of-00002.arrow"),
    ]
