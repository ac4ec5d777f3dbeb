"""Characters counted over many texts at once, against the expressions that say what is meant."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipelines.html_characters import MAX_CHARS, count_characters, distinct_pairs, find_words

TEXTS = [
    "",
    "One. Two! Three?",
    "3.14, not 3. 14",
    "x" * (MAX_CHARS - 1) + "." + " One. Two.",
    "你好。世界！，",
    "كيف؟ نعم،",
    "\U0001f600 1.\n2.\u00a0",
    ".",
]


@pytest.mark.parametrize("first", [0, 3, 160])
def test_sentences_commas_and_digits_are_counted(first: int) -> None:
    sentences, commas, digits = count_characters(TEXTS, first)
    cut = [text[:MAX_CHARS] for text in TEXTS]
    assert sentences.tolist() == [len(re.findall(r"[.!?。！？؟।](?:\s|$)|[。！？]", text)) for text in cut]
    assert commas.tolist() == [len(re.findall("[,،，]", text)) for text in cut]
    assert digits.tolist() == [len(re.findall("[0-9]", text[:first])) for text in cut]


def test_no_texts_have_no_counts() -> None:
    assert [counts.tolist() for counts in count_characters([], 160)] == [[], [], []]


@pytest.mark.parametrize("first", [0, 5, 160])
def test_words_are_runs_of_letters_of_any_script(first: int) -> None:
    texts = [*TEXTS, "post_ID-12b c", "İstanbul ΑΣ", "हिन्दी", "x\U00020000y \U0001d400", "½ Ⅷ ٣a", "a\ud800b"]
    words = find_words(texts, first)
    expected = [re.findall(r"[^\W\d_]+", text[:first].lower()) for text in texts]
    assert words.found == [word for of_text in expected for word in of_text]
    assert words.at.tolist() == [at for at, of_text in enumerate(expected) for _ in of_text]
    assert words.counts.tolist() == [sum(len(word) > 1 for word in of_text) for of_text in expected]


def test_known_words_are_numbered_text_by_text() -> None:
    texts, numbers = find_words(["a red square, red", "", "blue"], 160).numbers({"blue": 0, "red": 1})
    assert (texts.tolist(), numbers.tolist()) == ([0, 0, 2], [1, 1, 0])
    assert [found.tolist() for found in distinct_pairs(texts, numbers, 2)] == [[0, 2], [1, 0]]
    nothing = np.zeros(0, np.int64)
    assert [found.tolist() for found in distinct_pairs(nothing, nothing, 0)] == [[], []]
