"""Pages and images on a user's lists."""

from __future__ import annotations

import pytest

from filters.image_url_list import ImageUrlList
from filters.url_list import UrlList
from infimm_data.document import Document, ImageNode, Origin
from infimm_data.errors import ConfigError


def page(url: str) -> Document:
    return Document(id="0", nodes=(), origin=Origin(url=url))


@pytest.fixture
def lists(tmp_path):
    for name, text in (
        ("block", "bad.example\n"),
        ("allow", "good.example\nbad.example\n"),
        ("words", "casino\nxxx\n"),
    ):
        (tmp_path / name).write_text(text)
    return {name: str(tmp_path / name) for name in ("block", "allow", "words")}


def test_a_page_is_measured_against_each_list(lists):
    rule = UrlList(block=(lists["block"],), allow=(lists["allow"],), words=lists["words"])
    assert rule.measure(page("https://www.bad.example/Casino-xxx")) == {
        "url_blocked": "bad.example", "url_allowed": "yes", "num_url_words": 2,
    }  # fmt: skip
    assert rule.measure(page("")) == {"url_blocked": "", "url_allowed": "no", "num_url_words": 0}
    assert [one.reason for one in rule.rules()] == ["url_blocked", "url_not_allowed", "url_words"]


def test_a_word_counts_whole_only(lists):
    rule = UrlList(words=lists["words"])
    assert rule.measure(page("https://a.example/casinos/xxxl"))["num_url_words"] == 0
    assert rule.measure(page("https://casino.example/%78xx"))["num_url_words"] == 2


def test_lists_that_are_not_named_measure_nothing_and_drop_nothing(lists):
    measures = UrlList(block=(lists["block"],)).measure(page("https://a.example/"))
    assert measures == {"url_blocked": "", "url_allowed": None, "num_url_words": None}


def test_an_image_is_asked_by_its_own_address(lists):
    rule = ImageUrlList(block=(lists["block"],), allow=(lists["allow"],))
    measures = [rule.measure_node(ImageNode(url=url)) for url in ("//x", "data:,", "https://cdn.bad.example/1.jpg")]
    assert [tuple(one.values()) for one in measures] == [("", "no"), ("", "no"), ("bad.example", "yes")]


@pytest.mark.parametrize("kind", [UrlList, ImageUrlList])
def test_without_a_list_there_is_nothing_to_ask(kind):
    with pytest.raises(ConfigError, match="names no list"):
        kind()
    with pytest.raises(ConfigError, match="no such file"):
        kind(block=("/nowhere.txt",)).check_files()
