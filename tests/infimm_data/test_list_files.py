"""Lists of words and addresses from a user's files: what they match, and what is no list."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import ClassVar

import pytest

from infimm_data.errors import ConfigError
from infimm_data.list_files import first_match, url_list, word_list
from infimm_data.rules import measured_with

LIST = """# from the block list of a school
Bad.Example
http://www.shop.example/Sale/
10.0.0.1
b\u00fccher.example
"""


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://bad.example/a?b=c", "bad.example"),
        ("http://cdn.BAD.example:8080", "bad.example"),
        ("https://notbad.example/", ""),
        ("https://bad.example.org/", ""),
        ("https://shop.example/", ""),
        ("https://shop.example/Sale/shoes", "shop.example/Sale"),
        ("https://shop.example/Sales", ""),
        ("https://xn--bcher-kva.example/1", "xn--bcher-kva.example"),
        ("http://10.0.0.1/x", "10.0.0.1"),
        ("data:image/png;base64,AAAA", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_a_url_falls_under_its_host_a_domain_above_or_a_folder(url, entry, tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text(LIST, encoding="utf-8")
    assert url_list(str(path)).match(url) == entry


def test_lists_are_read_from_gzip_and_asked_in_order(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a.example\n"))
    (tmp_path / "b.txt").write_text("sub.a.example\n")
    lists = (url_list(str(tmp_path / "a.gz")), url_list(str(tmp_path / "b.txt")))
    assert first_match(lists, "https://sub.a.example/") == "a.example"
    assert first_match(lists[::-1], "https://sub.a.example/") == "sub.a.example"


def test_words_come_in_lower_case_without_a_byte_order_mark(tmp_path):
    (tmp_path / "words.txt").write_bytes("\ufeffFoo\n\n bar \n#x\n".encode())
    assert word_list(str(tmp_path / "words.txt")) == {"foo", "bar"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"\n# nothing\n", "holds no line"),
        (b"a\xff", "byte 1 is not UTF-8"),
        (gzip.compress(b"word\n" * 1000, mtime=0)[:-12], "ends early"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
    ids=["absent", "empty", "not UTF-8", "cut", "no gzip"],
)
def test_a_list_that_is_none_is_a_config_error(content, message, tmp_path):
    path = tmp_path / "w.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        word_list(str(path))


def test_a_line_that_names_no_host_stops_the_run(tmp_path):
    (tmp_path / "u.txt").write_text("good.example\n///\n")
    with pytest.raises(ConfigError, match="'///' names no host"):
        url_list(str(tmp_path / "u.txt"))


@dataclass(frozen=True, kw_only=True)
class Listing:
    file_settings: ClassVar[tuple[str, ...]] = ("words",)
    words: str | None = None

    def measure(self, document):
        return {}


def test_another_content_under_the_same_name_measures_again(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("one\n")
    before = measured_with(Listing(words=str(path)))
    path.write_text("one\ntwo\n")
    assert word_list(str(path)) == {"one", "two"}
    assert measured_with(Listing(words=str(path))) != before
    assert measured_with(Listing()) == {"words": None}
