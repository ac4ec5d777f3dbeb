"""Texts that stand on more documents than a caption does."""

from __future__ import annotations

from filters.frequent_text import FrequentText
from infimm_data.document import Document, TextNode
from infimm_data.rules import GroupAtMost


def digest(text):
    return FrequentText().measure(Document(id="a", nodes=(TextNode(text=text),)))["frequent_text_hash"]


def test_texts_are_the_same_whatever_their_case_and_layout():
    assert digest("Image for") == digest("  image\n FOR ")
    assert digest("Image for") != digest("Image of")
    assert digest(" ") is None


def test_the_bound_is_over_the_whole_set_and_none_is_off():
    assert FrequentText().rules() == (GroupAtMost("frequent_text_hash", 10, "text_too_frequent"),)
    assert FrequentText(max_documents=None).rules() == ()
