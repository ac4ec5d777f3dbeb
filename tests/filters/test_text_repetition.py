from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from filters.text_repetition import TextRepetition
from infimm_data.document import Document, TextNode
from infimm_data.errors import ConfigError
from infimm_data.repetition import char_repetition, numbered, word_repetition


def page(*texts: str) -> Document:
    return Document(id="0", nodes=tuple(TextNode(text=text) for text in texts))


def counted_char_repetition(text: str, n: int) -> float:
    """The definition of anchors 4.1, word for word."""
    counts = Counter(text[at : at + n] for at in range(len(text) - n + 1))
    if not counts:
        return 0.0
    descending = sorted(counts.values(), reverse=True)
    top = min(math.isqrt(len(counts)), len(counts) - descending.count(1))
    return sum(descending[:top]) / sum(descending)


def counted_word_repetition(words: list[str], n: int) -> float:
    counts = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    return sum(c for c in counts.values() if c > 1) / sum(counts.values()) if counts else 0.0


def texts() -> list[str]:
    """Texts from highly repetitive to not at all, in alphabets from 2 letters to all of Unicode's first plane."""
    rng = random.Random(7)
    alphabets = ["ab", "abc d", "the quick brown fox", "日本語かな カナ", "".join(map(chr, range(33, 3000)))]
    return ["".join(rng.choice(letters) for _ in range(size)) for letters in alphabets for size in (0, 9, 10, 11, 999)]


@pytest.mark.parametrize("text", texts())
def test_character_repetition_is_the_published_ratio(text: str) -> None:
    for n in (1, 3, 10):
        assert char_repetition(text, n) == pytest.approx(counted_char_repetition(text, n), abs=1e-12)


@pytest.mark.parametrize("text", texts())
def test_word_repetition_is_the_published_ratio(text: str) -> None:
    for n in (1, 2, 5):
        words = text.split()
        assert word_repetition(numbered(words), n) == pytest.approx(counted_word_repetition(words, n), abs=1e-12)


def test_character_repetition_by_hand() -> None:
    # "aaaaaaaaaaaa": 3 windows of 10, all equal: D = 1, k = min(1, 1), 3 / 3
    assert char_repetition("a" * 12, 10) == 1.0
    # "abab": ab, ba, ab: D = 2, k = min(1, 1) = 1: 2 / 3
    assert char_repetition("abab", 2) == pytest.approx(2 / 3)


def test_word_repetition_by_hand() -> None:
    # a b a b a: ab ba ab ba: both occur twice, all 4 of 4
    assert word_repetition(numbered(["a", "b", "a", "b", "a"]), 2) == 1.0
    assert word_repetition(numbered(["a", "b", "a", "b", "c"]), 2) == 0.5


def test_words_repeat_whatever_their_case() -> None:
    measured = TextRepetition(word_ngram=1).measure(page("Word word WORD other"))
    assert measured["word_repetition"] == 0.75


def test_lines_that_stood_before_are_counted() -> None:
    measured = TextRepetition().measure(page("menu\nhome\nmenu\nmenu\n\n  home  \nan article"))
    assert measured["duplicate_lines"] == 3 / 6
    assert measured["duplicate_line_chars"] == 12 / 30


def test_paragraphs_across_nodes_are_counted() -> None:
    measured = TextRepetition().measure(page("same text\n\nother text", "same text", "last"))
    assert measured["duplicate_paragraphs"] == 1 / 4


def test_three_of_ten_lines_is_exactly_at_gophers_bound() -> None:
    lines = [f"line {number}" for number in range(7)] + ["line 0", "line 1", "line 2"]
    measured = TextRepetition().measure(page("\n".join(lines)))
    assert measured["duplicate_lines"] == TextRepetition().max_duplicate_lines


def test_an_ordinary_paragraph_passes_and_spam_does_not() -> None:
    text = "The lighthouse was built in 1874 on a bare rock, two miles from the harbour, and its keeper wrote letters."
    ordinary, spam = TextRepetition().measure(page(text)), TextRepetition().measure(page("buy cheap shoes " * 20))
    rules = TextRepetition().rules()
    assert [bool(rule.passes([ordinary[rule.measure]])[0]) for rule in rules] == [True] * 6
    dropped = [rule.reason for rule in rules if not rule.passes([spam[rule.measure]])[0]]
    assert dropped == ["repeated_characters", "repeated_words"]


def test_an_ngram_of_no_length_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="word_ngram is 0"):
        TextRepetition(word_ngram=0)
