"""Shares of words and signs, by hand."""

from __future__ import annotations

import pytest

from infimm_data.composition import (
    SPAM_WORDS,
    STOP_WORDS,
    bare_words,
    punctuation,
    share_of,
    special_characters,
)


def test_words_are_bare_of_signs_at_their_ends_and_lower_case():
    assert bare_words('"The  ship," (it\u2019s 42) sailed! \u2014 \U0001f600') == ["the", "ship", "it\u2019s", "sailed"]


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.0), ("abcd", 0.0), ("ab1!", 0.5), ("\U0001f600\u20ac", 1.0), ("a b ", 0.0)]
)
def test_special_characters_are_digits_signs_and_emoji_but_no_blanks(text, share):
    assert special_characters(text) == share


@pytest.mark.parametrize(("text", "share"), [("", 0.0), ("one two three", 0.0), ("one, two.", 0.5), ("...", 1.0)])
def test_punctuation_is_counted_among_words_and_marks(text, share):
    assert punctuation(text, len(bare_words(text))) == share


def test_the_share_of_a_list_is_of_all_words():
    assert share_of(["the", "ship", "of", "fools"], STOP_WORDS) == 0.5
    assert share_of([], STOP_WORDS) == 0.0
    assert share_of(["share", "subscribe", "ship"], SPAM_WORDS) == pytest.approx(2 / 3)
