"""The demo's dump: the same code writes the same bytes, its labels are true, and the source reads all of it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pipelines.demo.make_dump import DIRECTORY, Dump, made_with, make, write
from pipelines.sources.contract import Skipped
from pipelines.sources.web_archive import WebArchive

ARTICLES = 64  # of the small dump: every kind comes at least once, each way to break or move a picture too
NO_PAGE = {"all_null", "empty", "http_301", "http_404", "http_500", "json", "pdf"}
MAX_BYTES = 8_000_000  # of everything that is committed


@pytest.fixture(scope="module")
def small() -> Dump:
    return make(ARTICLES)


@pytest.fixture(scope="module")
def committed():
    return [json.loads(line) for line in (DIRECTORY / "truth.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def read(small, tmp_path_factory):
    """The pages of the small dump as the source yields them, by URL, and the images that it holds."""
    folder = tmp_path_factory.mktemp("dump")
    write(small, folder)
    source = WebArchive(path=str(folder / "dump"))
    answers, images = {}, {}
    for item in source.work_items():
        found = list(source.read(item))
        answers |= {one.url if isinstance(one, Skipped) else one.origin.url: one for one in found}
        wanted = {node.url for one in found if not isinstance(one, Skipped) for node in one.images}
        images |= dict(source.images(item, wanted))
    return answers, images


def truth_of(dump):
    return [json.loads(line) for line in dump.files["truth.jsonl"].splitlines()]


def test_the_same_code_writes_the_same_bytes(small):
    assert make(ARTICLES).files == small.files


def test_more_articles_change_the_dump(small):
    assert make(ARTICLES + 1).files["truth.jsonl"] != small.files["truth.jsonl"]


@pytest.fixture(scope="module")
def regenerated() -> Dump:
    return make()


def test_the_committed_pages_are_what_the_code_makes(regenerated):
    name = "dump/demo-00000.warc.gz"
    stored = json.loads((DIRECTORY / "made_with.json").read_text())
    if stored != made_with():
        pytest.skip(f"the committed bytes were made with {stored}, here is {made_with()}: pictures encode differently")
    assert (DIRECTORY / name).read_bytes() == regenerated.files[name]


def test_the_committed_truth_is_what_the_code_makes(regenerated):
    """Needs no particular Pillow: the truth names no byte of a picture but those of data: URIs."""
    stored = [line for line in (DIRECTORY / "truth.jsonl").read_text().splitlines() if "data:image" not in line]
    made = [line for line in regenerated.files["truth.jsonl"].decode().splitlines() if "data:image" not in line]
    assert stored == made


def test_the_committed_files_stay_small():
    files = [path for path in DIRECTORY.rglob("*") if path.suffix in (".gz", ".zip", ".jsonl")]
    assert len(files) == 5
    assert sum(path.stat().st_size for path in files) < MAX_BYTES


def test_the_truth_counts_every_kind(committed):
    kinds = Counter(page["kind"] for page in committed)
    expected = {
        "article": 610, "mirror": 24, "near_duplicate": 24, "mismatched": 40, "spam": 20, "short": 20,
        "icons_only": 12, "many_pictures": 3, "broken_image": 16, "moved_image": 16, "shared_picture": 25,
    }  # fmt: skip
    expected |= {f"language_{code}": 14 for code in ("de", "fr", "es", "ru", "zh", "ja")}
    assert {kind: count for kind, count in kinds.items() if count > 1} == expected


def test_no_address_stands_twice_in_the_truth(committed):
    urls = Counter(page["url"] for page in committed)
    assert [url for url, count in urls.items() if count > 1] == []


def test_mismatched_pictures_share_neither_shape_nor_colour_with_the_text(committed, small, read):
    pages = [page for page in truth_of(small) if page["kind"] == "mismatched"]
    assert pages
    for page in pages:
        text = set(read[0][page["url"]].text.lower().replace(".", " ").replace(",", " ").split())
        for image in page["images"]:
            assert image["matches"] is False
            assert not {word for shape, colour, _ in image["scene"] for word in (shape, colour)} & text


def test_each_record_is_a_gzip_member_without_a_date(small):
    for name, data in small.files.items():
        if name.endswith(".gz"):
            assert data.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") >= gzip.decompress(data).count(b"\r\nWARC-Type: ")


def test_every_page_of_the_truth_is_read_or_counted(small, read):
    answers, _ = read
    pages = truth_of(small)
    moved = {i["url"] for page in pages if page["kind"] == "moved_image" for i in page["images"]}
    redirects = {url for url, answer in answers.items() if isinstance(answer, Skipped) and url in moved}
    assert set(answers) - redirects == {page["url"] for page in pages}
    assert {answers[url].reason for url in redirects} == {"http_301"}


def test_all_pages_but_those_that_are_none_become_documents(small, read):
    answers, _ = read
    skipped = {page["kind"] for page in truth_of(small) if isinstance(answers[page["url"]], Skipped)}
    assert skipped == NO_PAGE


def test_every_picture_of_an_article_is_on_its_document_in_order(small, read):
    answers, _ = read
    for page in truth_of(small):
        if page["kind"] in ("article", "mismatched", "near_duplicate", "spam", "many_pictures", "moved_image"):
            shown = [image["url"] for image in page["images"]]
            found = [node.url for node in answers[page["url"]].images]
            assert [url for url in found if url in shown] == shown, page["url"]


def test_the_archive_holds_the_pictures_that_the_truth_says_it_holds(small, read):
    answers, images = read
    for page in truth_of(small):
        document = answers[page["url"]]
        if page["kind"] == "mirror" or isinstance(document, Skipped):
            continue  # a mirror's relative addresses lead nowhere
        for image in page["images"]:
            if image["problem"] or image["url"].startswith("data:"):
                continue
            assert (image["url"] in images) == (image["stored"] == "archive"), image["url"]


def test_pictures_that_the_archive_says_have_moved_are_found(small, read):
    _, images = read
    pages = [page for page in truth_of(small) if page["kind"] == "moved_image"]
    moved = [page["images"][0]["url"] for page in pages if page["images"][0]["stored"] == "archive"]
    assert moved
    for url in moved:
        assert Image.open(io.BytesIO(images[url])).width >= 96


def test_whole_pictures_decode_at_the_sizes_of_a_web_page(small, read):
    _, images = read
    problems = {image["url"] for page in truth_of(small) for image in page["images"] if image["problem"]}
    drawn = [Image.open(io.BytesIO(data)) for url, data in images.items() if "/media/" in url and url not in problems]
    assert len(drawn) > 20
    assert {image.format for image in drawn} == {"JPEG", "PNG", "WEBP", "GIF"}
    assert all(96 <= image.width <= 256 for image in drawn)


def test_the_picture_files_of_the_server_are_those_that_only_it_has(small):
    with zipfile.ZipFile(io.BytesIO(small.files["pictures.zip"])) as packed:
        names = set(packed.namelist())
    served = {
        image["url"].removeprefix("http://").replace("/moved/", "/")
        for page in truth_of(small) for image in page["images"] if image["stored"] == "http"
    }  # fmt: skip
    assert names == served
    assert all(not Path(name).is_absolute() and ".." not in name for name in names)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("wrong_charset", "."), ("no_charset", "Café naïve"), ("null_bytes", "."), ("broken_markup", "."),
        ("deep_nesting", "."), ("script_heavy", "."), ("long_attribute", "."),
    ],
)  # fmt: skip
def test_damaged_markup_still_gives_the_article(small, read, kind, found):
    (page,) = [page for page in truth_of(small) if page["kind"] == kind]
    document = read[0][page["url"]]
    assert found in document.text
    assert len(document.text.split()) >= 40
    assert "never shown" not in document.text
    assert "\x00" not in document.text
