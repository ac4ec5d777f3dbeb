"""Pages by index rows: the documents of whole-file reads, in bounded work items, with every bad row counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document
from infimm_data.errors import ConfigError, SourceError
from pipelines.archives import remote
from pipelines.archives.records import Record, read_records
from pipelines.preview import preview
from pipelines.sources.common_crawl import CommonCrawl
from pipelines.sources.common_crawl_index import CommonCrawlIndex
from pipelines.sources.contract import Skipped
from tests.archive_server import ArchiveServer
from tests.pipelines.archives.made_archives import write_crawl

CRAWL = "CC-MAIN-2023-50"
COLUMNS = ("warc_filename", "warc_record_offset", "warc_record_length", "url")
REAL = Path(__file__).resolve().parents[3] / "../shared/data/warc_commoncrawl"


@pytest.fixture
def crawl(tmp_path):
    """A crawl of 18 pages and its index, as Parquet in the order of URLs; returns (base, index, captures)."""
    captures = write_crawl(tmp_path / "store")
    return str(tmp_path / "store"), write_index(tmp_path / "index.parquet", captures), captures


def write_index(path, captures) -> str:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sorted(captures, key=lambda row: row[3])]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def read_all(source):
    return [answer for item in source.work_items() for answer in source.read(item)]


def by_id(answers):
    return {answer.id: answer for answer in answers if isinstance(answer, Document)}


def reasons(answers):
    return Counter(answer.reason for answer in answers if isinstance(answer, Skipped))


@pytest.mark.parametrize("rows_per_item", [1, 7, 100])
def test_rows_give_the_documents_of_whole_files(crawl, rows_per_item):
    base, index, _ = crawl
    answers = read_all(CommonCrawlIndex(path=index, base=base, rows_per_item=rows_per_item))
    whole = read_all(CommonCrawl(crawl=CRAWL, base=base))
    assert by_id(answers) == by_id(whole)
    assert reasons(answers) == reasons(whole) == {"http_404": 3}


def test_work_items_are_bounded_runs_of_rows(crawl):
    base, index, _ = crawl
    items = CommonCrawlIndex(path=index, base=base, rows_per_item=7).work_items()
    assert [item.span for item in items] == [(0, 7), (7, 14), (14, 18)]
    assert [item.name for item in items] == ["index.parquet[0:7]", "index.parquet[7:14]", "index.parquet[14:18]"]
    items = CommonCrawlIndex(path=index, base=base, rows_per_item=7, max_rows=8).work_items()
    assert [item.span for item in items] == [(0, 7), (7, 8)]


def test_reads_go_forward_in_each_file(crawl):
    base, index, _ = crawl
    documents = [a for a in read_all(CommonCrawlIndex(path=index, base=base)) if isinstance(a, Document)]
    places = [(document.origin.dump, document.origin.offset) for document in documents]
    assert places == sorted(places)


def test_neighbours_share_a_request_and_a_busy_store_is_asked_again(crawl, monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)
    base, index, _ = crawl
    with ArchiveServer(Path(base)) as store:
        store.busy = 2
        answers = read_all(CommonCrawlIndex(path=index, base=store.url))
        assert by_id(answers) == by_id(read_all(CommonCrawlIndex(path=index, base=base)))
        assert len(store.requests) == 3 + 2  # one per file
        store.busy = 1_000
        with pytest.raises(SourceError, match="HTTP 503, asked 6 times"):
            read_all(CommonCrawlIndex(path=index, base=store.url))


def test_rows_that_lead_nowhere_cost_only_themselves(crawl, tmp_path):
    base, _, captures = crawl
    name, offset, length, _ = captures[0]
    bad = [
        ("../index.parquet", 0, 10, "u"),
        ("crawl-data/no.warc.gz", 0, 10, "u"),
        (name, 1 << 40, 10, "u"),
        (name, offset, 1 << 40, "u"),
        (name, offset + 3, length - 3, "u"),
        (name, 0, offset, "u"),  # a request
        (name, offset, length // 2, "u"),
    ]
    index = tmp_path / "i.jsonl"
    rows = [*bad, *captures]
    index.write_text("".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows))
    answers = read_all(CommonCrawlIndex(path=str(index), base=base))
    assert len(by_id(answers)) == 15
    assert len(answers) == len(rows)
    assert reasons(answers) == {
        "bad_index_row": 1, "record_not_found": 2, "page_too_large": 1, "damaged_record": 2, "no_page": 1, "http_404": 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"rows_per_item": 0}, "'rows_per_item' is 0"), ({"requests": 0}, "'requests' is 0"), ({"max_rows": 0}, "is 0")],
)
def test_numbers_below_1_are_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        CommonCrawlIndex(path="x", **settings)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("i.csv", b"url,filename\n", "holds no row"),
        ("i.parquet", b"x", "cannot be read as Parquet"),
        ("x", b"", "holds no"),
    ],
)
def test_an_index_without_rows_is_a_config_error(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        CommonCrawlIndex(path=str(tmp_path if name == "x" else tmp_path / name)).work_items()


def test_a_dry_run_names_the_columns_and_the_exact_rows(crawl):
    base, index, captures = crawl
    source = CommonCrawlIndex(path=index, base=base)
    found = preview(source, source.work_items())
    assert found.columns == COLUMNS
    assert found.num_documents == 15
    assert found.size_bytes == pytest.approx(sum(length for _, _, length, _ in captures), abs=1)


def test_rows_of_real_archives_give_the_documents_of_whole_file_reads(tmp_path):
    names = [
        "CC-MAIN-2020-34-16pages.warc.gz",
        "CC-crawl-001-2008.converted.warc.gz",
        "CC-MAIN-2024-22-whirlwind.warc.gz",
    ]
    if not all((REAL / name).exists() for name in names):
        pytest.skip("real archives are not beside the checkout")
    rows, whole = [], {}
    for name in names:
        with (REAL / name).open("rb") as file:
            records = [record for record in read_records(file, lambda kind, url: 0) if isinstance(record, Record)]
        ends = [record.offset for record in records[1:]] + [(REAL / name).stat().st_size]
        rows += [
            (name, record.offset, end - record.offset, record.url)
            for record, end in zip(records, ends, strict=True)
            if record.kind == "response"
        ]
        whole |= by_id(read_all(CommonCrawl(path=str(REAL / name))))
    index = write_index(tmp_path / "i.parquet", rows)
    assert len(rows) == 16 + 87 + 1
    assert by_id(read_all(CommonCrawlIndex(path=index, base=str(REAL)))) == whole
