"""Images of a work item: from the dump or over HTTP into a tar with one row of facts per URL."""

from __future__ import annotations

import base64
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from infimm_data.document import Document, ImageNode, short_url
from infimm_data.tables import DOCUMENTS, document_row, open_table, read_metadata, read_table
from pipelines.fetch_settings import FetchSettings, ResizeSettings
from pipelines.image_files import fetch_item, read_image
from pipelines.layout import Layout
from pipelines.passes.fetch import holds_missing
from pipelines.sources.contract import WorkItem
from tests.web_server import PNG, HostileWeb, png

ITEM = WorkItem(index=3, name="a", path="a", size_bytes=0)
HOST = "pictures.example"
INLINE = "data:image/png;base64," + base64.b64encode(png(9)).decode()
SETTINGS = FetchSettings(timeout_s=2, max_bytes=10_000, max_pixels=100, allow_private_hosts=(HOST,))


@dataclass(frozen=True)
class Held:
    """A dump that holds these images."""

    held: dict[str, bytes]

    def images(self, item, urls):
        return ((url, data) for url, data in self.held.items() if url in urls)


@pytest.fixture
def layout(tmp_path):
    """An OUT folder whose work item holds one page with an inline image."""
    found = Layout(str(tmp_path))
    with open_table(found.documents(ITEM.key), DOCUMENTS, fingerprint="d") as table:
        table.add(document_row(Document(id="a", nodes=(ImageNode(url=INLINE), ImageNode(url="http://a.example/x")))))
    return found


def fetch(layout, urls, held=None, print_="p", web=None, **settings):
    connect_to = {HOST: web.address} if web else {}
    given = SETTINGS.model_copy(update=settings)
    counts = fetch_item(Held(held or {}), ITEM, layout, given, connect_to, urls, print_)
    rows = read_table(layout.images(ITEM.key)).to_pylist()
    assert read_metadata(layout.images(ITEM.key)) == (print_, counts)
    return rows


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def data_of(layout, row):
    with open(layout.image_tar(ITEM.key), "rb") as tar:
        return read_image(tar, row["offset"], row["stored_bytes"])


def test_an_image_of_the_dump_is_kept_with_its_facts(layout):
    (row,) = fetch(layout, ["u"], {"u": PNG, "other": PNG})
    assert data_of(layout, row) == PNG
    assert {name: row[name] for name in ("url", "status", "width", "height", "short_side", "aspect", "format")} == {
        "url": "u", "status": "ok", "width": 8, "height": 8, "short_side": 8, "aspect": 1.0, "format": "png",
    }  # fmt: skip
    assert row["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_a_file_that_the_dump_names_and_does_not_hold_is_missing_and_looked_for_again(layout):
    first = fetch(layout, ["a.jpg", "coco/b c.jpg", "d.jpg"], {"d.jpg": PNG})
    assert [(row["url"], row["status"]) for row in first] == [
        ("d.jpg", "ok"), ("a.jpg", "missing_file"), ("coco/b c.jpg", "missing_file"),
    ]  # fmt: skip
    assert not holds_missing(Held({"d.jpg": PNG}), ITEM, layout)
    assert holds_missing(Held({"a.jpg": png(5)}), ITEM, layout)
    again = fetch(layout, ["a.jpg", "coco/b c.jpg", "d.jpg"], {"a.jpg": png(5)})
    assert [(row["url"], row["status"]) for row in again] == [
        ("d.jpg", "ok"), ("a.jpg", "ok"), ("coco/b c.jpg", "missing_file"),
    ]  # fmt: skip
    assert [data_of(layout, row) for row in again[:2]] == [PNG, png(5)]


def test_a_file_that_comes_late_has_a_name_of_its_own_in_the_tar(layout):
    with HostileWeb() as web:
        fetch(layout, ["a.jpg", f"http://{HOST}/ok"], web=web)
        late, there = fetch(layout, ["a.jpg", f"http://{HOST}/ok"], {"a.jpg": png(5)}, web=web)[::-1]
    assert [data_of(layout, row) for row in (there, late)] == [PNG, png(5)]
    with tarfile.open(layout.image_tar(ITEM.key)) as tar:
        assert tar.getnames() == ["000001.png", "000002.png"]


def test_no_urls_make_an_empty_table_and_an_empty_tar(layout):
    assert fetch(layout, []) == []


def test_an_inline_image_is_found_by_its_digest(layout):
    (row,) = fetch(layout, [short_url(INLINE)], {INLINE: png(9)})
    assert (row["url"], row["status"], row["width"]) == (short_url(INLINE), "ok", 9)


def test_an_inline_image_that_the_source_cannot_read_has_its_reason(layout):
    (row,) = fetch(layout, [short_url(INLINE)])
    assert row["status"] == "bad_data_uri"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "not_an_image"),
        (b"<html>", "not_an_image"),
        (PNG[:-30], "image_truncated"),
        (png(11), "too_many_pixels"),
        (PNG + b"\0" * 10_000, "too_many_bytes"),
    ],
)
def test_what_is_no_good_image_has_its_reason_and_no_bytes_in_the_tar(layout, data, status):
    bad, good = fetch(layout, ["bad", "good"], {"bad": data, "good": PNG})
    assert bad["offset"] is None
    assert bad["status"] == status
    assert data_of(layout, good) == PNG


def test_an_image_that_is_stored_as_it_came_has_one_digest_for_both(layout):
    (row,) = fetch(layout, ["u"], {"u": PNG})
    assert (row["stored_sha256"], row["stored_bytes"]) == (row["sha256"], len(PNG)) == (sha256(PNG), row["size_bytes"])
    assert (row["stored_format"], row["stored_width"], row["stored_height"]) == ("png", 8, 8)
    assert (row["host"], row["directive"], row["told_at"]) == (None, None, None)


def test_a_resized_image_keeps_the_facts_and_the_digest_of_the_file_as_it_came(layout):
    resize = ResizeSettings(size=4, mode="center_crop", format="webp")
    (row,) = fetch(layout, ["u"], {"u": png(9)}, resize=resize)
    stored = data_of(layout, row)
    assert (row["sha256"], row["size_bytes"], row["format"], row["width"]) == (sha256(png(9)), len(png(9)), "png", 9)
    assert (row["stored_sha256"], row["stored_bytes"]) == (sha256(stored), len(stored))
    assert (row["stored_format"], row["stored_width"], row["stored_height"]) == ("webp", 4, 4)
    assert stored.startswith(b"RIFF")
    with tarfile.open(layout.image_tar(ITEM.key)) as tar:
        assert tar.getnames() == ["000000.webp"]


def test_a_resized_fetch_gives_the_same_bytes_twice(layout):
    urls, held = [str(n) for n in range(20)], {str(n): png(5 + n % 5) for n in range(20)}
    digests = []
    for print_ in ("p", "q"):
        fetch(layout, urls, held, print_, resize=ResizeSettings(size=4))
        digests.append(sha256(Path(layout.image_tar(ITEM.key)).read_bytes()))
    assert digests[0] == digests[1]


def test_the_header_alone_is_believed_where_the_recipe_says_so(layout):
    cut = PNG[:-30]
    good, bad, bomb = fetch(layout, ["good", "bad", "bomb"], {"good": PNG, "bad": cut, "bomb": png(11)}, check="header")
    assert [row["status"] for row in (good, bad, bomb)] == ["ok", "ok", "too_many_pixels"]
    assert (good["width"], good["phash"], data_of(layout, bad)) == (8, None, cut)


def test_a_failure_is_recorded_with_its_cause_and_host(layout):
    with HostileWeb() as web:
        pages = ["absent", "pixel_bomb", "html", "understates", "tag/noai", "hang_up"]
        rows = fetch(layout, [f"http://{HOST}/{page}" for page in pages], web=web, attempts=1, max_bytes=100_000)
    assert [row["status"] for row in rows[:3]] == ["http_404", "too_many_pixels", "not_an_image"]
    assert rows[3]["status"] in ("image_truncated", "bad_response")
    assert [row["status"] for row in rows[4:]] == ["opted_out", "connection_error"]
    assert {row["host"] for row in rows} == {HOST}
    assert [row["directive"] for row in rows] == [None] * 4 + ["X-Robots-Tag: noai", None]
    assert [row["told_at"] is None for row in rows] == [True] * 4 + [False, True]


def test_a_second_run_asks_again_only_for_the_statuses_it_is_given(layout):
    urls = [f"http://{HOST}/{page}" for page in ("ok", "absent", "pressed/503/1/")]
    with HostileWeb() as web:
        first = fetch(layout, urls, web=web, attempts=1)
        asked = len(web.paths)
        fetch_item(Held({}), ITEM, layout, SETTINGS, {HOST: web.address}, urls, "p", {"http_503"})
        assert web.paths[asked:] == ["/pressed/503/1/"]
    rows = read_table(layout.images(ITEM.key)).to_pylist()
    assert [row["status"] for row in first] == ["ok", "http_404", "http_503"]
    assert {row["url"]: row["status"] for row in rows} == dict(zip(urls, ("ok", "http_404", "ok"), strict=True))


def test_rows_stand_in_the_order_of_dump_then_web(layout):
    with HostileWeb() as web:
        urls = [f"http://{HOST}/absent", "b", f"http://{HOST}/ok", "a"]
        rows = fetch(layout, urls, {"a": PNG, "b": png(5)}, web=web)
    assert [(row["url"].rpartition("/")[2], row["status"]) for row in rows] == [
        ("a", "ok"), ("b", "ok"), ("absent", "http_404"), ("ok", "ok"),
    ]  # fmt: skip
    assert [data_of(layout, row) for row in rows if row["status"] == "ok"] == [PNG, png(5), PNG]
    with tarfile.open(layout.image_tar(ITEM.key)) as tar:
        assert tar.getnames() == ["000000.png", "000001.png", "000003.png"]


def test_a_second_fetch_asks_only_for_what_is_missing(layout):
    with HostileWeb() as web:
        first = fetch(layout, [f"http://{HOST}/ok", f"http://{HOST}/absent"], web=web)
        both = fetch(layout, [f"http://{HOST}/ok", f"http://{HOST}/html", f"http://{HOST}/absent"], web=web)
        assert web.paths == ["/ok", "/absent", "/html"] or sorted(web.paths[:2]) == ["/absent", "/ok"]
        assert web.paths[2:] == ["/html"]
    assert both[:2] == first
    assert data_of(layout, both[0]) == PNG


def test_other_limits_fetch_everything_again(layout):
    fetch(layout, ["u"], {"u": PNG})
    (row,) = fetch(layout, ["v"], {"v": png(5)}, print_="q")
    assert row["url"] == "v"
    assert data_of(layout, row) == png(5)


def test_a_kill_between_tar_and_table_leaves_all_offsets_right(layout, monkeypatch):
    fetch(layout, ["a"], {"a": PNG})
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.image_files.write_table", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(layout, ["a", "b"], {"b": png(5)})
    (row,) = read_table(layout.images(ITEM.key)).to_pylist()
    assert data_of(layout, row) == PNG
    rows = fetch(layout, ["a", "b"], {"b": png(5)})
    assert [data_of(layout, row) for row in rows] == [PNG, png(5)]


def test_of_a_touched_item_the_answers_of_the_web_stay_and_the_images_of_the_dump_are_taken_anew(layout):
    before, after, url = "l" * 32 + "a" * 32, "l" * 32 + "b" * 32, f"http://{HOST}/ok"
    with HostileWeb() as web:
        fetch(layout, [url, f"http://{HOST}/absent", "u"], {"u": PNG}, before, web)
        asked = list(web.paths)
        rows = fetch(layout, [url, f"http://{HOST}/absent", "u"], {"u": png(9)}, after, web)
        assert web.paths == asked
    assert [(row["url"], row["status"], row["host"] is not None) for row in rows] == [
        (url, "ok", True), (f"http://{HOST}/absent", "http_404", True), ("u", "ok", False),
    ]  # fmt: skip
    assert [data_of(layout, row) for row in (rows[0], rows[2])] == [PNG, png(9)]


def test_an_image_that_a_touched_item_holds_by_now_is_taken_from_it(layout):
    before, after, url = "l" * 32 + "a" * 32, "l" * 32 + "b" * 32, f"http://{HOST}/ok"
    with HostileWeb() as web:
        fetch(layout, [url], {}, before, web)
        (row,) = fetch(layout, [url], {url: png(9)}, after, web)
    assert (data_of(layout, row), row["host"] is not None) == (png(9), False)


def test_other_limits_keep_nothing_of_what_was_fetched(layout):
    with HostileWeb() as web:
        fetch(layout, [f"http://{HOST}/ok"], {}, "l" * 32 + "a" * 32, web)
        fetch(layout, [f"http://{HOST}/ok"], {}, "m" * 32 + "a" * 32, web)
        assert web.paths == ["/ok", "/ok"]
