from __future__ import annotations

import pytest

from filters.repeated_paragraph import RepeatedParagraph
from infimm_data.document import Document, ImageNode, Origin, TextNode
from infimm_data.errors import ConfigError

STEP = RepeatedParagraph()


def page(*texts: str, url: str = "https://a.example/1") -> Document:
    return Document(id="0", nodes=tuple(TextNode(text=text) for text in texts), origin=Origin(url=url))


def test_a_paragraph_is_one_whatever_its_layout_on_one_host_only() -> None:
    keys = STEP.keys(page("About  us\n\nNews", "NEWS\n\n...\n\n"))
    assert len(keys) == 2
    assert STEP.keys(page("about us", url="http://www.A.example/2")) == keys[:1]
    assert STEP.keys(page("about us", url="http://b.example/")) != keys[:1]


def test_pages_without_a_host_and_turns_of_a_conversation_are_left_alone() -> None:
    assert STEP.keys(page("text", url="")) == []
    turn = Document(id="0", nodes=(TextNode(text="text", role="user"),), origin=Origin(url="https://a.example/"))
    assert STEP.keys(turn) == []
    assert STEP.edit_repeated(turn, STEP.keys(page("text"))) == (turn, {})


def test_repeated_paragraphs_go_and_images_and_the_rest_stay_in_order() -> None:
    image = ImageNode(url="https://a.example/i.png")
    nodes = (TextNode(text="menu\n\nstory\n\nMenu!"), image, TextNode(text="menu"), TextNode(text="end"))
    document = Document(id="0", nodes=nodes, origin=Origin(url="https://a.example/9"))
    edited, counts = STEP.edit_repeated(document, frozenset(STEP.keys(page("menu", "absent"))))
    assert edited.nodes == (TextNode(text="story"), image, TextNode(text="end"))
    assert counts == {"paragraph_repeated_on_site": 3}


def test_a_page_without_repeated_paragraphs_is_the_same_object() -> None:
    document = page("story")
    assert STEP.edit_repeated(document, frozenset())[0] is document
    assert STEP.edit_repeated(document, frozenset(STEP.keys(page("menu"))))[0] is document


def test_no_page_at_all_is_no_setting() -> None:
    with pytest.raises(ConfigError, match="pages is 0"):
        RepeatedParagraph(pages=0)
