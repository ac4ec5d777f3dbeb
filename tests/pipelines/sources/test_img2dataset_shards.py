"""Finished output of img2dataset: a real tar beside the checkout, and made ones, whole, truncated and damaged."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document
from infimm_data.errors import ConfigError, SourceError
from infimm_data.tables import DOCUMENTS, document_row, open_table, read_table
from pipelines.fetch_settings import FetchSettings
from pipelines.image_files import fetch_item
from pipelines.layout import Layout
from pipelines.sources.contract import Skipped
from pipelines.sources.img2dataset_shards import Img2datasetShards
from tests.web_server import png

REAL = Path(__file__).resolve().parents[3] / "../shared/data/images_cc12m_test/cc12m-train-0000.tar"


def facts(number, **more):
    """The JSON that img2dataset writes beside a picture."""
    found = {
        "url": f"https://a.example/{number}.jpg", "caption": f"caption {number}", "key": f"{number:09d}",
        "status": "success", "error_message": None, "width": 256, "height": 192, "original_width": 1024,
        "original_height": 768, "exif": "{}", "sha256": "0" * 64, "similarity": 0.3,
    }  # fmt: skip
    return found | more


def members(number, image=None, **more):
    """The three members of a pair, in img2dataset's order."""
    data = png(8 + number) if image is None else image
    found = {"jpg": data, "txt": f"caption {number}".encode(), "json": json.dumps(facts(number, **more)).encode()}
    return [(f"{number:09d}.{ending}", content) for ending, content in found.items()]


def write_tar(path, named):
    with tarfile.open(path, "w") as tar:
        for name, data in named:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_shard(folder, count=4):
    return write_tar(folder / "00000.tar", [member for n in range(count) for member in members(n)])


def everything(path, **settings):
    source = Img2datasetShards(path=str(path), **settings)
    return [found for item in source.work_items() for found in source.read(item)]


def texts(path, **settings):
    return [found.text for found in everything(path, **settings) if isinstance(found, Document)]


def reasons(path, **settings):
    return Counter(found.reason for found in everything(path, **settings) if isinstance(found, Skipped))


def test_a_pair_becomes_an_image_with_its_caption_where_it_stands_in_the_tar(tmp_path):
    write_shard(tmp_path, 2)
    _, document = everything(tmp_path)
    (image,) = document.images
    assert (document.text, image.caption, image.width, image.height) == ("caption 1", "caption 1", 256, 192)
    assert image.scores == {"similarity": 0.3}
    origin = document.origin
    assert (origin.dump, origin.url) == ("00000.tar", "https://a.example/1.jpg")
    with (tmp_path / "00000.tar").open("rb") as tar:
        tar.seek(origin.offset)
        assert tar.read(13) == b"000000001.jpg"


def test_the_pictures_come_out_of_the_tar_and_only_those_that_are_wanted(tmp_path):
    write_shard(tmp_path)
    source = Img2datasetShards(path=str(tmp_path))
    (item,) = source.work_items()
    wanted = {"https://a.example/3.jpg", "https://a.example/0.jpg", "https://b.example/x.jpg"}
    assert list(source.images(item, wanted)) == [
        ("https://a.example/0.jpg", png(8)), ("https://a.example/3.jpg", png(11)),
    ]  # fmt: skip


def test_failed_downloads_of_the_table_beside_it_are_counted_by_status(tmp_path):
    write_shard(tmp_path, 2)
    rows = [facts(0), facts(1), facts(2), facts(3, status="failed_to_download", error_message="HTTP Error 404")]
    rows.append(facts(4, status="failed_to_resize", error_message="image decoding error"))
    rows.append(facts(5, status=None))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "00000.parquet")
    assert reasons(tmp_path) == {
        "missing_from_tar": 1, "failed_to_download": 1, "failed_to_resize": 1, "unknown_status": 1,
    }  # fmt: skip
    failed = next(one for one in everything(tmp_path) if getattr(one, "reason", "") == "failed_to_download")
    assert (failed.url, failed.detail) == ("https://a.example/3.jpg", "000000003: HTTP Error 404")


def test_a_damaged_table_beside_a_good_tar_is_named_and_loses_no_pair(tmp_path):
    write_shard(tmp_path, 2)
    (tmp_path / "00000.parquet").write_bytes(b"PAR1 broken")
    assert texts(tmp_path) == ["caption 0", "caption 1"]
    assert reasons(tmp_path) == {"damaged_table": 1}


def test_what_is_no_pair_is_counted_and_costs_no_neighbour(tmp_path):
    one, two, three, four = members(1), members(2), members(3), members(4)
    named = [
        *members(0), *one[1:], *two[:2], (two[2][0], b"{broken"), *members(0), (three[0][0], three[0][1]),
        (three[2][0], json.dumps(facts(3, caption=None)).encode()), *four[:1], (four[1][0], b"\xff"), four[2],
        *members(5, status="failed_to_resize"), *members(6, image=b"x" * 5_000), *members(7),
    ]  # fmt: skip
    write_tar(tmp_path / "00000.tar", named)
    assert texts(tmp_path, max_image_bytes=4_999) == ["caption 0", "caption 7"]
    assert reasons(tmp_path, max_image_bytes=4_999) == {
        "no_image": 1, "bad_json": 1, "repeated_id": 1, "no_caption": 1, "not_utf8": 1, "failed_to_resize": 1,
        "too_many_bytes": 1,
    }  # fmt: skip


def test_without_json_the_text_is_the_caption_and_the_picture_has_a_name_that_no_fetch_follows(tmp_path):
    write_tar(tmp_path / "a.tar", [("x/7.png", png(9)), ("x/7.txt", b"a dog")])
    (document,) = everything(tmp_path)
    assert (document.text, document.images[0].url) == ("a dog", "tar:a.tar/x/7")
    source = Img2datasetShards(path=str(tmp_path))
    assert list(source.images(source.work_items()[0], ["tar:a.tar/x/7"])) == [("tar:a.tar/x/7", png(9))]


def test_links_and_folders_in_a_tar_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("0.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        folder = tarfile.TarInfo("0.d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo("0.txt")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"a"))
    assert reasons(tmp_path) == {"no_image": 1}


@pytest.mark.parametrize("shard", ["made", "real"])
def test_a_tar_cut_anywhere_keeps_every_pair_before_the_cut(tmp_path, shard):
    if shard == "real" and not REAL.exists():
        pytest.skip(f"{REAL} is not beside this checkout")
    whole = REAL.read_bytes() if shard == "real" else write_shard(tmp_path).read_bytes()
    (tmp_path / "00000.tar").write_bytes(whole)
    found = everything(tmp_path)
    ends = [*(document.origin.offset for document in found[1:]), len(whole)]
    step = len(whole) // 23
    for cut in [ends[0] + 1_536, *range(ends[1], ends[-2], step), ends[1] + 512, ends[1] + 100]:
        (tmp_path / "00000.tar").write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends[:-1])
        here = everything(tmp_path)
        got = [one for one in here if isinstance(one, Document)]
        assert got == found[: len(got)]
        assert len(got) in (kept, kept + 1)  # the last pair may be whole although no other follows it
        assert here[-1].reason == "damaged_record"


def test_damage_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = write_shard(tmp_path)
    at = everything(tmp_path)[2].origin.offset
    data = bytearray(path.read_bytes())
    data[at : at + 512] = b"\x07" * 512
    path.write_bytes(data)
    assert texts(tmp_path) == ["caption 0", "caption 1"]
    assert reasons(tmp_path) == {"damaged_record": 1}


@pytest.mark.parametrize("data", [b"", b"no tar at all", b"\x1f\x8b" + b"x" * 1_000])
def test_a_file_that_is_no_tar_fails_with_one_line(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match=r"a.tar: cannot be read as a tar \(.*\)\. Remove or replace it\."):
        everything(tmp_path)


def test_a_tar_without_members_holds_nothing(tmp_path):
    write_tar(tmp_path / "a.tar", [])
    assert everything(tmp_path) == []


def test_a_folder_without_tars_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"expected files that end in \.tar"):
        Img2datasetShards(path=str(tmp_path)).work_items()


def test_a_shard_of_datacomp_keeps_its_uid_and_scores(tmp_path):
    more = {"uid": "f" * 32, "clip_l14_similarity_score": 0.25, "clip_b32_similarity_score": 0.3, "face_bboxes": []}
    write_tar(tmp_path / "00000000.tar", members(0, **more))
    (document,) = everything(tmp_path)
    del more["face_bboxes"]
    assert document.images[0].scores == more | {"similarity": 0.3}


def test_a_dry_run_reads_the_statistics_beside_the_tars(tmp_path):
    write_shard(tmp_path)
    source = Img2datasetShards(path=str(tmp_path))
    assert source.preview(source.work_items()).num_documents == 4  # sampled
    (tmp_path / "00000_stats.json").write_text(json.dumps({"count": 9, "successes": 5, "status_dict": {}}))
    found = source.preview(source.work_items())
    assert (found.num_documents, found.how) == (5, "_stats.json of 1 of 1 shards")


def test_a_real_shard_is_read_with_its_pictures_and_without_a_network(tmp_path):
    if not REAL.exists():
        pytest.skip(f"{REAL} is not beside this checkout")
    source = Img2datasetShards(path=str(REAL.parent))
    (item,) = source.work_items()
    found = list(source.read(item))
    assert {type(one) for one in found} == {Document}
    assert len(found) == 32
    assert found[0].text == "Red Square is a city square in Moscow, Russia."
    layout, urls = Layout(str(tmp_path)), [document.images[0].url for document in found]
    with open_table(layout.documents(item.key), DOCUMENTS, fingerprint="d") as table:
        for document in found:
            table.add(document_row(document))
    unreachable = dict.fromkeys(("i1.wp.com",), ("127.0.0.1", 9))
    assert fetch_item(source, item, layout, FetchSettings(), unreachable, urls, "p") == {"ok": 32}
    rows = read_table(layout.images(item.key)).to_pylist()
    assert [(row["width"], row["height"]) for row in rows] == [
        (document.images[0].width, document.images[0].height) for document in found
    ]
    with tarfile.open(REAL) as tar:
        first = tar.extractfile("000000003.jpg").read()
    assert rows[0]["sha256"] == hashlib.sha256(first).hexdigest()
