"""Rows over HTTP: every kind of file gives what it gives on disk, and a file that is not there says so in one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.errors import ConfigError, SourceError
from pipelines.sources.image_captions import ImageCaptions
from pipelines.sources.mint1t import Mint1t
from pipelines.sources.mmc4 import Mmc4
from pipelines.sources.web_archive import WebArchive
from tests.archive_server import ArchiveServer

ROWS = [{"url": f"http://a.example/{n}", "caption": f"a caption, or two: {n}"} for n in range(3000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def delimited(separator):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", LINES)
    return buffer.getvalue()


def parquet():
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


FILES = {
    "a.jsonl": LINES, "a.jsonl.gz": gzip.compress(LINES), "a.jsonl.zip": zipped(), "a.csv": delimited(","),
    "a.tsv": delimited("\t"), "a.parquet": parquet(), "a.json": json.dumps(ROWS).encode(),
}  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with ArchiveServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize("name", FILES)
def test_rows_over_http_are_those_of_the_file_on_disk(store, tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    found = []
    for path in (f"{store.url}{name}", str(tmp_path / name)):
        source = ImageCaptions(path=path, bytes_per_item=30_000)
        items = source.work_items()
        found.append([one for item in items for one in source.read(item)])
        assert source.preview(items).num_documents == pytest.approx(len(ROWS), rel=0.1)
    assert found[0] == found[1]
    assert [one.origin.url for one in found[0]] == [row["url"] for row in ROWS]


@pytest.mark.parametrize(
    "source", [ImageCaptions(path="URL"), Mmc4(path="URL"), Mint1t(path="URL"), WebArchive(path="URL")], ids=repr
)
def test_a_store_without_byte_ranges_says_what_to_do(store, tmp_path, source):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    store.answers_ranges = False
    (item,) = replace(source, path=f"{store.url}a.jsonl").work_items()
    with pytest.raises(
        SourceError, match=r"a\.jsonl: cannot be read \(the server does not answer byte ranges; download"
    ):
        list(source.read(item))


@pytest.mark.parametrize(("source", "name"), [(ImageCaptions, "a.tsv"), (Mmc4, "a.jsonl.zip"), (Mint1t, "a.tar")])
def test_a_file_that_a_store_does_not_have_says_what_it_answered(store, source, name):
    with pytest.raises(ConfigError, match=f"cannot be listed: {store.url}{name}: HTTP 404"):
        source(path=f"{store.url}{name}").work_items()
