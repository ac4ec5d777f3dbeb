"""The published rules about whole texts: each measure by hand, and prose passes all of them."""

from __future__ import annotations

import numpy as np
import pytest

from filters.table import FILTERS
from infimm_data.document import Document, ImageNode, TextNode

PROSE = "\n\n".join(
    f"The {ship} left the harbour at dawn, and all of the crew was on deck to see how the town went out of sight. "
    f"They have been told that {place} is a place to be, with more {thing} than they could carry."
    for ship, place, thing in (
        ("brig", "Genoa", "silk"),
        ("sloop", "Bergen", "herring"),
        ("galley", "Tunis", "dates"),
        ("cutter", "Cork", "butter"),
    )
)
NAMES = ("gopher_quality", "ngram_repetition", "text_composition", "line_quality", "c4_page", "words_per_image")


def measured(name: str, text: str, images: int = 0, **settings) -> dict[str, float]:
    nodes = (TextNode(text=text), *[ImageNode(url=f"https://a.example/{n}") for n in range(images)])
    return dict(FILTERS[name](**settings).measure(Document(id="0", nodes=nodes)))


def dropped(name: str, text: str, images: int = 0, **settings) -> list[str]:
    values = measured(name, text, images, **settings)
    rules = FILTERS[name](**settings).rules()
    return [rule.reason for rule in rules if not rule.passes(np.array([values[rule.measure]], dtype=float))[0]]


@pytest.mark.parametrize("name", NAMES)
def test_prose_passes(name):
    settings = {"max_duplicate_5": 0.9, "max_top_2": 0.9} if name == "ngram_repetition" else {}
    assert [one for one in dropped(name, PROSE, 1, **settings) if "grams" not in one] == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("gopher_quality", "word " * 49, "gopher_few_words"),
        ("gopher_quality", "ab " * 60, "words_too_short"),
        ("gopher_quality", "abcdefghijkl " * 60, "words_too_long"),
        ("gopher_quality", "#tag of the word " * 30, "too_many_hashes"),
        ("gopher_quality", "of the word ... " * 30, "too_many_ellipses"),
        ("gopher_quality", "- the list of it\n" * 30, "too_many_bullet_lines"),
        ("gopher_quality", "and the story of it goes on and on and on and on...\n" * 9, "too_many_ellipsis_lines"),
        ("gopher_quality", "12 345 the 678 of 90 " * 12, "too_few_alphabetic_words"),
        ("gopher_quality", "ships sail oceans blue " * 20, "no_english_stop_words"),
        ("text_composition", "12:30, 13:40; 14:50 (!)", "too_many_special_characters"),
        ("text_composition", "ships sail oceans, blue.", "too_few_stop_words"),
        ("text_composition", "it is what it is and so they all go to the sea", "too_little_punctuation"),
        ("text_composition", "subscribe to the newsletter, and share it.", "too_many_spam_words"),
        ("line_quality", "a line without an end\n" * 9, "too_few_ended_lines"),
        ("line_quality", "Short lines.\n" * 9, "too_many_short_lines"),
        ("line_quality", "The same line stands here over and over again.\n" * 9, "repeated_line_text"),
        ("line_quality", "one\ntwo\nthree.", "too_many_line_breaks"),
        ("c4_page", "One. Two. Three. Four.", "too_few_sentences"),
        ("c4_page", f"{PROSE} Lorem ipsum dolor.", "lorem_ipsum"),
        ("c4_page", f"{PROSE} function() {{ }}", "curly_braces"),
        ("ngram_repetition", "buy the red ship now " * 9, "repeated_top_2grams"),
        ("ngram_repetition", f"{PROSE} {PROSE}", "repeated_duplicate_10grams"),
    ],
)
def test_each_rule_refuses_what_it_is_for(name, text, reason):
    assert reason in dropped(name, text)


def test_gophers_measures_by_hand():
    found = measured("gopher_quality", "- The ships...\nof 42 #seas")
    assert found["gopher_words"] == 5
    assert found["mean_word_length"] == pytest.approx((3 + 8 + 2 + 2 + 5) / 5)
    assert found["hash_ratio"] == found["ellipsis_ratio"] == pytest.approx(1 / 6)
    assert (found["bullet_lines"], found["ellipsis_lines"]) == (0.5, 0.5)
    assert found["alphabetic_words"] == pytest.approx(4 / 6)
    assert found["gopher_stop_words"] == 2


def test_words_per_image_asks_galleries_only():
    assert measured("words_per_image", "one two three", 2) == {"words_per_image": None}
    assert measured("words_per_image", "one two three", 3) == {"words_per_image": 1.0}
    assert dropped("words_per_image", "word " * 149, 3) == ["too_few_words_per_image"]
    assert dropped("words_per_image", "word " * 150, 3) == []
    assert dropped("words_per_image", "word", 2) == []


def test_lists_are_measured_where_they_are_given(tmp_path):
    (tmp_path / "list.txt").write_text("silk\nherring\n")
    path = str(tmp_path / "list.txt")
    assert measured("c4_page", PROSE, bad_words=path)["num_bad_words"] == 2
    assert measured("c4_page", PROSE)["num_bad_words"] is None
    assert dropped("c4_page", PROSE, bad_words=path) == ["bad_words"]
    assert dropped("text_composition", PROSE, flagged_words=path) == ["too_many_flagged_words"]
    assert dropped("text_composition", PROSE, common_words=path) == ["too_few_common_words"]
