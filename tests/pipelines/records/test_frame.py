"""What a dry run tells of files of rows, however they are stored: within a quarter of the truth."""

from __future__ import annotations

import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sources.image_captions import ImageCaptions
from pipelines.sources.mmc4 import Mmc4
from pipelines.sources.obelics import Obelics
from pipelines.sources.tasks import Tasks

ROWS = 30_000


def record(number):
    """A record that gzip does not make much smaller, without an image for every third."""
    images = (
        [{"raw_url": f"https://a.example/{hash((number, 1)):x}.png", "matched_text_index": 0}] if number % 3 else []
    )
    return {"text_list": [f"{hash((number, 2)):x}" * 3], "url": f"https://a.example/{number}", "image_info": images}


def told(source):
    found = source.preview(source.work_items())
    return found.num_documents, found.num_images


@pytest.mark.parametrize("kind", ["plain", "gzip", "gzip of members", "zip"])
def test_lines_of_json_are_told_by_how_far_the_stored_file_was_read(tmp_path, kind):
    lines = [json.dumps(record(n)).encode() + b"\n" for n in range(ROWS)]
    data, path = b"".join(lines), tmp_path / "a.jsonl"
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.jsonl.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jsonl", data)
    elif kind.startswith("gzip"):
        cuts = range(0, ROWS, 1_000 if "members" in kind else ROWS)
        parts = [b"".join(lines[at : at + cuts.step]) for at in cuts]
        (tmp_path / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(part, 1) for part in parts))
    else:
        path.write_bytes(data)
    documents, images = told(Mmc4(path=str(tmp_path)))
    assert documents == pytest.approx(ROWS, rel=0.25)
    assert images == pytest.approx(ROWS * 2 / 3, rel=0.25)


def test_rows_behind_another_list_of_a_json_object_are_not_told_by_what_stands_before_them(tmp_path):
    images = [
        {"id": n, "file_name": f"{n:012d}.jpg", "coco_url": "http://c.example/" + "x" * 150} for n in range(10_000)
    ]
    rows = [{"image_id": n // 5, "id": n, "caption": f"A caption of some words, {n}"} for n in range(ROWS)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": rows}))
    documents, _ = told(Tasks(task="coco_captions", path=str(tmp_path / "captions.json")))
    assert documents == pytest.approx(ROWS, rel=0.25)


def test_parquet_is_told_by_its_row_counts_and_its_images_by_a_sample(tmp_path):
    rows = [{"images": [None, "u"] if n % 2 else [None, None], "texts": [f"t{n}", None]} for n in range(4_000)]
    for part in range(3):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{part}.parquet")
    documents, images = told(Obelics(path=str(tmp_path)))
    assert documents == pytest.approx(12_000, rel=0.01)
    assert images == pytest.approx(6_000, rel=0.05)


def test_what_the_sample_passes_over_is_told_by_reason(tmp_path):
    lines = ["url\tcaption", *(f"https://a.example/{n}\t{'a caption' if n % 2 else ''}" for n in range(100)), "broken"]
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    source = ImageCaptions(path=str(tmp_path))
    found = source.preview(source.work_items())
    assert (found.num_documents, found.columns) == (50, ("url", "caption"))
    assert found.skipped == {"no_caption": 50, "malformed_row": 1}
