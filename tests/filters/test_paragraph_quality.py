"""OBELICS' rules about paragraphs, each with a paragraph that it alone refuses."""

from __future__ import annotations

import pytest

from filters.paragraph_quality import ParagraphQuality
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError

PROSE = "The old ship left the harbour at dawn, and all of the crew was on deck to see the town go."


def edited(text: str, **settings) -> tuple[str, dict[str, int]]:
    document, counts = ParagraphQuality(**settings).edit(Document(id="0", nodes=(TextNode(text=text),)))
    return document.text, dict(counts)


def test_prose_stays_as_it_is():
    assert edited(f"{PROSE}\n\n{PROSE}") == (f"{PROSE}\n\n{PROSE}", {})


@pytest.mark.parametrize(
    ("paragraph", "reason"),
    [
        ("Read it now", "paragraph_too_few_words"),
        ("the ship " * 501, "paragraph_too_many_words"),
        ("It is 12.50 + 13.70 = 26.20 (!!!) and so on #1 #2 #3", "paragraph_special_characters"),
        ("it is what it is and they do what they do when we are at the sea", "paragraph_without_punctuation"),
        ("Home products ships harbours news articles", "paragraph_too_few_stop_words"),
        ("Subscribe to our newsletter and share it with all of them", "paragraph_spam_words"),
        ("the of the of the of the of the of the of, and so it is.", "paragraph_repeated_characters"),
    ],
)
def test_a_paragraph_that_is_none_goes_with_its_reason(paragraph, reason):
    assert edited(f"{PROSE}\n\n{paragraph}") == (PROSE, {reason: 1})


def test_bounds_are_inclusive():
    assert edited("This is the sea.") == ("This is the sea.", {})  # four words
    assert edited("This is it.", min_words=3) == ("This is it.", {})
    assert edited("This is it.", min_words=4)[1] == {"paragraph_too_few_words": 1}


def test_a_text_without_a_paragraph_left_goes_and_images_and_captions_stay():
    image = ImageNode(url="https://a.example/x.jpg", caption="Red ship")
    nodes = (TextNode(text="Menu"), image, TextNode(text="Red ship\n\nMore"))
    document, counts = ParagraphQuality().edit(Document(id="0", nodes=nodes))
    assert document.nodes == (image, TextNode(text="Red ship"))
    assert counts == {"paragraph_too_few_words": 2}
    assert ParagraphQuality(keep_captions=False).edit(Document(id="0", nodes=nodes))[0].nodes == (image,)


def test_lists_of_words_are_asked_where_they_are_given(tmp_path):
    (tmp_path / "flagged.txt").write_text("ship\n")
    (tmp_path / "common.txt").write_text("the\nof\n")
    assert edited(PROSE, flagged_words=str(tmp_path / "flagged.txt"))[1] == {"paragraph_flagged_words": 1}
    assert edited(PROSE, common_words=str(tmp_path / "common.txt"))[1] == {"paragraph_uncommon_words": 1}
    with pytest.raises(ConfigError, match="no such file"):
        ParagraphQuality(flagged_words=str(tmp_path / "absent.txt")).check_files()


def test_none_is_off():
    off = {name: None for name in vars(ParagraphQuality()) if name.startswith(("min_", "max_"))}
    assert edited("x", **off) == ("x", {})
