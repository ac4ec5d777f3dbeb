"""The same image with the same text: LAION's rule by URL, COYO's by perceptual hash."""

from __future__ import annotations

import pytest

from filters.duplicate_pair import DuplicatePair
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError


def digest(text, url="u", by="url", **scores):
    images = () if url is None else (ImageNode(url=url, scores=scores),)
    return DuplicatePair(by=by).signature(Document(id="a", nodes=(*images, TextNode(text=text))))


def test_a_pair_is_its_url_and_its_text_with_white_space_folded():
    assert digest("a dog") == digest(" a\n dog ")
    assert len({digest("a dog"), digest("A dog"), digest("a dog", url="v"), digest("dog", url="u a")}) == 4


def test_by_a_measure_of_the_dump_the_url_does_not_count():
    same = [digest("a dog", url=url, by="image_phash", image_phash="abcd") for url in "uv"]
    assert same[0] == same[1] != b""
    assert digest("a dog", by="image_phash", image_phash="abce") != same[0]


def test_without_a_text_an_image_or_the_measure_there_is_no_twin():
    assert [digest(" "), digest("a", url=None), digest("a", url=""), digest("a", by="image_phash")] == [b""] * 4
    assert digest("a", by="num", num=0) != b""


def test_nothing_to_compare_by_is_refused():
    with pytest.raises(ConfigError, match="by is empty"):
        DuplicatePair(by="")
