"""The record reader against FastWARC where both read, and on damage that only it reads around."""

from __future__ import annotations

import gzip
import io
import random
import time
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from infimm_data.urls import url_key
from pipelines.archives.records import Damage, Record, read_records
from pipelines.archives.stream import ArchiveStream

DATA = Path(__file__).resolve().parents[3] / "../shared/data"
# FastWARC reads no ARC, loses an LF-only header, and cannot resume after example-trunc's wrong length.
FASTWARC_READS = (
    "warc_with_images/IAH-20080430204825-blackbook.warc.gz",
    "warc_with_images/kiwix-with-redirects.warc.gz",
    "warc_with_images/iana-2014.warc.gz",
    "warc_with_images/books.toscrape.warc",
    "warc_edge/example.warc",
    "warc_edge/example-wget-bad-target-uri.warc.gz",
    "warc_edge/example-bad.warc.gz.bad",
    "warc_edge/example-wrong-chunks.warc.gz",
    "warc_edge/dolma-sample-0000.warc.gz",
    "warc_commoncrawl/CC-MAIN-2020-34-16pages.warc.gz",
    "warc_commoncrawl/CC-MAIN-2016-50-filter_test_1.wet.gz",
)


def everything(data: bytes) -> list[Record | Damage]:
    return list(read_records(io.BytesIO(data), lambda kind, url: 1 << 20))


def warc(block: bytes, length: int | None = None, url: str = "http://a.b/") -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: {url}\r\n"
    return f"{head}Content-Length: {len(block) if length is None else length}\r\n\r\n".encode() + block + b"\r\n\r\n"


def arc(url: str, block: bytes, length: int | str | None = None) -> bytes:
    return (
        f"{url} 1.2.3.4 20080102030405 text/html {len(block) if length is None else length}\n".encode() + block + b"\n"
    )


@pytest.mark.parametrize("name", FASTWARC_READS)
def test_records_are_those_of_fastwarc(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real archive {name} is not beside the checkout")
    with path.open("rb") as file:
        found = [(r.kind, r.url, r.block) for r in read_records(file, lambda k, u: 1 << 24) if isinstance(r, Record)]
    with path.open("rb") as file:
        theirs = [
            (str(r.record_type).split(".")[-1], (r.headers.get("WARC-Target-URI") or "").strip("<> "), r.reader.read())
            for r in ArchiveIterator(file, parse_http=False)
        ]
    assert found == theirs


def test_memory_is_bounded_by_what_is_kept() -> None:
    (found,) = read_records(io.BytesIO(warc(b"x" * 5_000)), lambda kind, url: 10)
    assert isinstance(found, Record)
    assert (found.block, found.size_bytes, found.is_whole) == (b"x" * 10, 5_000, False)


def test_an_arc_file_is_read() -> None:
    description = arc("filedesc://x.arc", b"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n")
    answers = everything(description + arc("http://a.b/with space", b"HTTP/1.1 200 OK\n\nx"))
    last = answers[-1]
    assert isinstance(last, Record)
    assert (last.kind, last.url, last.date) == ("response", "http://a.b/with space", "2008-01-02T03:04:05Z")
    assert last.block == b"HTTP/1.1 200 OK\n\nx"


@pytest.mark.parametrize("wrong", [1, 20, 5_000])
def test_an_arc_description_with_a_wrong_length_costs_nothing(wrong: int) -> None:
    answers = everything(arc("filedesc://x.arc", b"1 0 Test\nURL x\n", wrong) + arc("http://a.b/", b"page"))
    assert [answer.url for answer in answers if isinstance(answer, Record)][-1] == "http://a.b/"
    assert not [answer for answer in answers if isinstance(answer, Damage)]


def test_an_arc_record_with_a_wrong_length_is_named_and_costs_no_neighbour() -> None:
    data = arc("http://a.b/1", b"one") + arc("http://a.b/2", b"two", 900) + arc("http://a.b/3", b"three")
    answers = everything(data)
    assert [answer.url for answer in answers if isinstance(answer, Record)] == ["http://a.b/1", "http://a.b/3"]
    assert [answer.url for answer in answers if isinstance(answer, Damage)] == ["http://a.b/2"]


def test_header_lines_may_be_folded_and_end_in_lf() -> None:
    data = b"WARC/1.1\nwarc-type: Resource\nWARC-Target-URI: <http://a.b/\n x>\nContent-Length: 2\n\nhi\n\n"
    (found,) = everything(data)
    assert isinstance(found, Record)
    assert (found.kind, found.url, found.block) == ("resource", "http://a.b/ x", b"hi")


def test_a_length_that_reaches_over_gzip_members_names_each_of_many() -> None:
    answers = everything(gzip.compress(warc(b"xx", 99_999_999)) * 6_000)
    assert len([answer for answer in answers if isinstance(answer, Damage)]) == 5_999
    last = answers[-1]
    assert isinstance(last, Record)  # ended by the end of the file: its reader decides
    assert last.missing_bytes == 99_999_999 - 6


def test_padding_after_the_last_gzip_member_is_no_damage() -> None:
    assert [type(answer) for answer in everything(gzip.compress(warc(b"x")) + b"\0" * 500)] == [Record]


def test_any_damage_ends_and_leaves_undamaged_neighbours() -> None:
    chance = random.Random(7)
    first, last = gzip.compress(warc(b"first", url="http://a.b/1")), gzip.compress(warc(b"last", url="http://a.b/2"))
    middle = gzip.compress(warc(bytes(range(256)) * 4, url="http://a.b/m"))
    for _ in range(200):
        broken = bytearray(middle)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        urls = [answer.url for answer in everything(first + bytes(broken) + last) if isinstance(answer, Record)]
        assert urls[0] == "http://a.b/1"
        assert urls[-1] == "http://a.b/2"


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b\x08" * 100_000,
        warc(b"xx", 99_999_999) * 30_000,
        gzip.compress(warc(b"xx", 99_999_999) * 5_000),
        b"http:" * 400_000,
        b"WARC/1.0\r\n" * 200_000,
        b"\n" * 2_000_000,
    ],
    ids=["magics", "lengths", "lengths in gz", "one line", "headers", "blank lines"],
)
def test_hostile_files_take_linear_time(data: bytes) -> None:
    start = time.process_time()
    everything(data)
    assert time.process_time() - start < 5


def test_a_stream_rewinds_over_gzip_members() -> None:
    stream = ArchiveStream(io.BytesIO(b"".join(gzip.compress(bytes([65 + n]) * 100_000) for n in range(5))))
    assert stream.read_block(450_000, 0) == (b"", 450_000)
    assert stream.rewind(150_000)
    assert stream.read_block(60_000, 60_000)[0] == b"B" * 50_000 + b"C" * 10_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a.b", "https://A.B:443/#x", True),
        ("http://a.b/%7euser/%C3%A9", "http://a.b/~user/é", True),
        ("http://a.b/x?q=a b", "http://a.b/x?q=a%20b", True),
        ("http://a.b/Mona_Lisa%2C_by_Leonardo.jpg", "http://a.b/Mona_Lisa,_by_Leonardo.jpg", True),
        ("http://a.b/a%2Fb", "http://a.b/a/b", False),
        ("http://a.b/a%3Fb", "http://a.b/a?b", False),
        ("http://a.b/x?q=1%262", "http://a.b/x?q=1&2", False),
        ("http://a.b/x?q=1", "http://a.b/x?q=2", False),
        ("http://a.b:8080/", "http://a.b/", False),
        ("http://www.a.b/", "http://a.b/", False),
        ("http://[bad", "http://[worse", False),
    ],
)
def test_equal_urls_have_equal_keys(one: str, other: str, same: bool) -> None:
    assert (url_key(one) == url_key(other)) is same
