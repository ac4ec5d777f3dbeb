"""C4's rules about lines, each at its bound."""

from __future__ import annotations

import pytest

from filters.c4_lines import C4Lines
from infimm_data.document import Document, ImageNode, TextNode


def edited(text: str, **settings) -> tuple[str, dict[str, int]]:
    document, counts = C4Lines(**settings).edit(Document(id="0", nodes=(TextNode(text=text),)))
    return document.text, dict(counts)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Home About Contact us today", "no_terminal_punctuation"),
        ("Read on and on...", "no_terminal_punctuation"),
        ("Read on and on…", "no_terminal_punctuation"),
        ("Two words.", "too_few_words_in_line"),
        ("Please enable JavaScript to read this page.", "javascript_notice"),
        ("See our Privacy Policy for all of it.", "policy_notice"),
        ("This site uses cookies to please you.", "policy_notice"),
        (f"A word of {'x' * 1001} letters.", "word_too_long"),
    ],
)
def test_a_line_that_is_no_sentence_goes_with_its_reason(line, reason):
    assert edited(f"The ship sailed at dawn.\n{line}") == ("The ship sailed at dawn.", {reason: 1})


@pytest.mark.parametrize(
    "line", ["It was late.", "Was it late?", "How late it was!", '"It was late."', f"One {'x' * 1000} word."]
)
def test_a_sentence_at_the_bound_stays(line):
    assert edited(line) == (line, {})


def test_paragraphs_stay_apart_and_none_is_left_empty():
    text = "The first one is here.\n\nMenu\n\nButton\n\nThe second one is here."
    assert edited(text) == ("The first one is here.\n\nThe second one is here.", {"no_terminal_punctuation": 2})


def test_marks_of_citation_go_and_are_counted():
    assert edited("The sea[1] is salt [citation needed] and deep.[12][edit]") == (
        "The sea is salt  and deep.",
        {"citation_mark": 4},
    )


def test_a_text_without_a_sentence_goes_whole_and_the_images_around_it_stay():
    image = ImageNode(url="https://a.example/x.jpg")
    document, counts = C4Lines().edit(Document(id="0", nodes=(TextNode(text="Menu"), image)))
    assert document.nodes == (image,)
    assert counts == {"no_terminal_punctuation": 1}


def test_a_caption_stays_unless_it_is_to_go():
    nodes = (ImageNode(url="https://a.example/x.jpg", caption="A red ship"), TextNode(text="A red ship\n\nMenu"))
    assert C4Lines().edit(Document(id="0", nodes=nodes))[0].text == "A red ship"
    assert C4Lines(keep_captions=False).edit(Document(id="0", nodes=nodes))[0].text == ""


def test_rules_are_off_where_none():
    text = f"Menu\n{'x' * 2000}"
    assert edited(text, must_end=False, min_words=None, max_word_characters=None) == (text, {})
    assert edited("Menu", must_end=False, min_words=0) == ("Menu", {})
