"""Common Crawl by id and by path: its listing, its sample, and what WARC, WAT and WET records become."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError, SourceError
from pipelines.archives import remote
from pipelines.preview import preview
from pipelines.sources.common_crawl import CommonCrawl
from pipelines.sources.contract import Skipped
from pipelines.sources.web_archive import WebArchive
from tests.archive_server import ArchiveServer
from tests.pipelines.archives.made_archives import (
    WORDS,
    image_link,
    warc_record,
    wat_record,
    wet_record,
    write_crawl,
)

CRAWL = "CC-MAIN-2023-50"
REAL = Path(__file__).resolve().parents[3] / "../shared/data/warc_commoncrawl"


def read_all(source):
    return [answer for item in source.work_items() for answer in source.read(item)]


def reasons(answers):
    return Counter(answer.reason for answer in answers if isinstance(answer, Skipped))


def one_file(tmp_path, data: bytes, name="a.warc.wat.gz", **settings):
    (tmp_path / name).write_bytes(data)
    return read_all(CommonCrawl(path=str(tmp_path / name), **settings))


def real(name: str) -> str:
    if not (REAL / name).exists():
        pytest.skip(f"real archive {name} is not beside the checkout")
    return str(REAL / name)


def test_a_crawl_is_listed_in_its_own_order(tmp_path):
    write_crawl(tmp_path)
    items = CommonCrawl(crawl=CRAWL, base=str(tmp_path)).work_items()
    assert [item.index for item in items] == [0, 1, 2]
    assert items[2].name == f"crawl-data/{CRAWL}/segments/1.2/warc/CC-MAIN-00002.warc.gz"
    assert items[2].path == f"{tmp_path}/{items[2].name}"


def test_a_larger_sample_holds_the_smaller_one_at_the_same_indices(tmp_path):
    write_crawl(tmp_path, files=12, pages=1)
    names = {
        n: [item.name for item in CommonCrawl(crawl=CRAWL, base=str(tmp_path), max_files=n, seed=3).work_items()]
        for n in (1, 4, 99)
    }
    assert names[4][:1] == names[1]
    assert names[99][:4] == names[4]
    assert len(set(names[99])) == 12
    other = CommonCrawl(crawl=CRAWL, base=str(tmp_path), max_files=12, seed=4).work_items()
    assert [item.name for item in other] != names[99]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give 'crawl'"),
        ({"crawl": CRAWL, "path": "x"}, "give 'crawl'"),
        ({"crawl": "../../etc"}, "expected an id like CC-MAIN-2023-50"),
        ({"crawl": CRAWL, "max_files": 0}, "'max_files' is 0"),
    ],
)
def test_settings_that_contradict_each_other_are_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        CommonCrawl(**settings)


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (None, "cannot be read"),
        (b"not gzip", "cannot be read"),
        (gzip.compress(b"\n"), "holds no path"),
        (gzip.compress(b"a/b\n../../etc/passwd\n"), "the path '../../etc/passwd'"),
        (gzip.compress(b"http://evil.example/a\n"), "the path 'http://evil"),
    ],
)
def test_a_listing_that_cannot_be_used_is_one_clear_line(tmp_path, listing, said):
    folder = tmp_path / "crawl-data" / CRAWL
    folder.mkdir(parents=True)
    if listing is not None:
        (folder / "warc.paths.gz").write_bytes(listing)
    with pytest.raises(ConfigError, match=said) as caught:
        CommonCrawl(crawl=CRAWL, base=str(tmp_path)).work_items()
    assert "\n" not in str(caught.value)


def test_pages_of_a_crawl_are_those_of_its_files(tmp_path):
    write_crawl(tmp_path)
    answers = read_all(CommonCrawl(crawl=CRAWL, base=str(tmp_path)))
    assert reasons(answers) == {"http_404": 3}
    documents = [answer for answer in answers if isinstance(answer, Document)]
    assert len(documents) == 15
    assert [node.url for node in documents[0].images] == ["https://site0.example/pictures/0.jpg"]
    whole = WebArchive(path=str(tmp_path / "crawl-data"))
    assert [document.nodes for document in documents] == [a.nodes for a in read_all(whole) if isinstance(a, Document)]


def test_a_crawl_over_http_gives_the_same_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)
    write_crawl(tmp_path)
    here = read_all(CommonCrawl(crawl=CRAWL, base=str(tmp_path)))
    with ArchiveServer(tmp_path) as store:
        store.busy = 2
        assert read_all(CommonCrawl(crawl=CRAWL, base=store.url)) == here


def test_a_file_of_the_listing_that_is_not_there_fails_alone(tmp_path):
    write_crawl(tmp_path, files=2)
    source = CommonCrawl(crawl=CRAWL, base=str(tmp_path))
    items = source.work_items()
    Path(items[0].path).unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(source.read(items[0]))
    assert len(list(source.read(items[1]))) == 6


def test_a_wat_page_is_its_title_and_its_images_with_their_alt_texts(tmp_path):
    links = [
        {"path": "A@/href", "url": "/a", "text": "x"},
        image_link("b.jpg", " The  second\n"),
        image_link("/a.jpg", "The first"),
        image_link("/no-alt.jpg"),
        image_link("/blank.jpg", "  "),
        image_link("/lazy.jpg", "x", path="IMG@/data-src"),
        image_link("javascript:x", "x"),
    ]
    record = wat_record("https://a.example/x/y", links=links, head={"Title": "A title"})
    (document,) = one_file(tmp_path, record)
    first, second = "https://a.example/x/b.jpg", "https://a.example/a.jpg"
    assert document.nodes == (
        TextNode(text="A title"),
        ImageNode(url=first, caption="The second"), TextNode(text="The second"),
        ImageNode(url=second, caption="The first"), TextNode(text="The first"),
    )  # fmt: skip
    assert (document.origin.url, document.origin.offset) == ("https://a.example/x/y", 0)
    assert document.origin.date == "2023-12-01T02:03:04Z"


def test_wat_pairs_are_one_document_each_and_repeats_have_one_id(tmp_path):
    links = [image_link("/a.jpg", "one"), image_link("/b.jpg", "two"), image_link("/a.jpg", "one")]
    pairs = one_file(tmp_path, wat_record("https://a.example/", links=links), wat_documents="pairs")
    assert [pair.nodes[1].text for pair in pairs] == ["one", "two", "one"]
    assert pairs[0].id == pairs[2].id != pairs[1].id
    assert {pair.origin.url for pair in pairs} == {"https://a.example/"}


def test_the_base_element_of_a_wat_page_counts(tmp_path):
    head = {"Base": "https://cdn.example/p/"}
    (document,) = one_file(tmp_path, wat_record("https://a.example/", links=[image_link("a.jpg", "x")], head=head))
    assert document.images[0].url == "https://cdn.example/p/a.jpg"


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (wat_record("https://a.example/", status="404", links=[image_link("/a.jpg", "x")]), {"http_404": 1}),
        (wat_record("https://a.example/", status="9x\n4", links=[image_link("/a.jpg", "x")]), {"bad_status": 1}),
        (wat_record("https://a.example/"), {"not_html": 1}),
        (wat_record("https://a.example/", links=[]), {"no_image_with_alt": 1}),
        (wat_record("https://a.example/", payload={"HTTP-Request-Metadata": {}}), {}),
        (warc_record("metadata", "u", b"{", "application/json"), {"damaged_record": 1}),
        (warc_record("metadata", "u", b"[1]", "application/json"), {"damaged_record": 1}),
        (warc_record("metadata", "u", b"[" * 200_000, "application/json"), {"damaged_record": 1}),
        (warc_record("metadata", "u", b"a: b", "application/warc-fields"), {}),
    ],
)
def test_wat_records_without_pairs_are_counted_by_reason(tmp_path, record, found):
    answers = one_file(tmp_path, record)
    assert reasons(answers) == Counter(found)


def test_hostile_types_in_a_wat_record_are_no_error(tmp_path):
    links = [1, None, {"path": 5}, {"path": "IMG@/src", "url": {}, "alt": []}, image_link("/a.jpg", "x")]
    (document,) = one_file(tmp_path, wat_record("https://a.example/", links=links, head={"Title": 5, "Base": []}))
    assert [image.url for image in document.images] == ["https://a.example/a.jpg"]


def test_a_wet_record_is_text_alone(tmp_path):
    data = wet_record("https://a.example/", f"Title\n\n  {WORDS}\tx \n") + wet_record("https://b.example/", " \n")
    document, empty = one_file(tmp_path, data, "a.warc.wet.gz")
    assert document.nodes == (TextNode(text=f"Title\n{WORDS} x"),)
    assert empty.reason == "no_content"


def test_records_over_the_limit_are_skipped(tmp_path):
    links = [image_link(f"/{n}.jpg", "x" * 50) for n in range(100)]
    data = wat_record("https://a.example/", links=links) + wet_record("https://a.example/", "x " * 2_000)
    assert reasons(one_file(tmp_path, data, max_page_bytes=2_000)) == {"page_too_large": 2}


def test_a_dry_run_takes_the_other_files_for_as_large_as_the_first(tmp_path):
    write_crawl(tmp_path, files=4)
    source = CommonCrawl(crawl=CRAWL, base=str(tmp_path))
    items = source.work_items()
    found = preview(source, items)
    assert found.size_bytes == 4 * Path(items[0].path).stat().st_size
    assert (found.num_documents, found.num_images) == (20, 20)


def test_matching_warc_wat_and_wet_of_a_real_crawl_agree():
    base = "CC-MAIN-20140820021334-00006-ip-10-180-136-8.ec2.internal.warc"
    warc, wat, wet = (read_all(CommonCrawl(path=real(base + ends))) for ends in ("", ".wat", ".wet"))
    pages = {a.origin.url: a for a in warc if isinstance(a, Document)}
    links = {a.origin.url: a for a in wat if isinstance(a, Document)}
    texts = {a.origin.url: a for a in wet if isinstance(a, Document)}
    assert len(texts) == 3  # expected_warcio.json: 3 conversion records
    assert set(pages) <= set(texts)
    assert reasons(wat) == {"not_html": 1}
    for url, document in links.items():
        alts = [node.caption for node in document.images]
        assert all(alts), url
    gallery = "http://0pointer.de/photos/?gallery=Australia&photo=496"
    assert [node.caption for node in links[gallery].images] == ["496", "Previous", "Next", "Creative Commons License"]
    assert texts[gallery].text.startswith("Photos\n")


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        ("CC-MAIN-2016-50-filter_test_1.wet.gz", None),
        ("CC-MAIN-2024-22-whirlwind.warc.wet.gz", 1),
        ("CC-MAIN-2024-22-whirlwind.warc.gz", 1),
        ("CC-MAIN-2020-34-16pages.warc.gz", 16),
        ("CC-crawl-001-2008.converted.warc.gz", 77),
    ],
)
def test_counts_of_real_files_agree_with_warcio(name, documents):
    answers = read_all(CommonCrawl(path=real(name)))
    found = sum(isinstance(answer, Document) for answer in answers)
    expected = json.loads((REAL / "expected_warcio.json").read_text())[name]
    if documents is None:  # warcio refuses its single gzip member
        assert found > 10
        assert reasons(answers) == {}
        return
    assert expected.get("html", expected["records"].get("conversion")) == documents
    no_page = sum(n for reason, n in reasons(answers).items() if reason in ("no_content", "no_text"))
    assert found + no_page == documents
