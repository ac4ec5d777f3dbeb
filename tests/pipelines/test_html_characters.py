"""Characters counted over many texts at once, against the expressions that say what is meant."""

from __future__ import annotations

import re

import pytest

from pipelines.html_characters import MAX_CHARS, count_characters

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
