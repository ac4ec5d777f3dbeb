"""VQA accuracy (Antol et al. 2015), by the rules and the quirks of the official evaluation.

An answer is right as far as at least three of the other people gave it: min(1, matches / 3), averaged over the
people left out in turn. Quirks that the published numbers contain, each seen in its results: answers are normalised
only where not all people agree to the letter; "the other people" are those whose whole record differs, so in a file
without `answer_id` (VizWiz) equal records leave together; only the first 32 full stops go.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

_REMOVED = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32
_NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
_ARTICLES = frozenset(["a", "an", "the"])
# What stands without its apostrophe, and what it becomes; `'` marks where, e.g. "don't" is looked up as "dont".
_APOSTROPHES = [
    "ain't",
    "aren't",
    "can't",
    "could've",
    "couldn't",
    "didn't",
    "doesn't",
    "don't",
    "hadn't",
    "hasn't",
    "haven't",
    "he'd",
    "he's",
    "how'd",
    "how'll",
    "how's",
    "isn't",
    "it'd",
    "it'll",
    "ma'am",
    "mightn't",
    "might've",
    "mustn't",
    "must've",
    "needn't",
    "not've",
    "o'clock",
    "oughtn't",
    "shan't",
    "should've",
    "shouldn't",
    "somebody'll",
    "somebody's",
    "someone'd",
    "someone'll",
    "someone's",
    "something'd",
    "something'll",
    "that's",
    "there'd",
    "there're",
    "there's",
    "they'd",
    "they'll",
    "they're",
    "they've",
    "'twas",
    "wasn't",
    "we've",
    "weren't",
    "what'll",
    "what're",
    "what's",
    "what've",
    "when's",
    "where'd",
    "where's",
    "where've",
    "who'd",
    "who'll",
    "who's",
    "who've",
    "why'll",
    "why're",
    "why's",
    "won't",
    "would've",
    "wouldn't",
    "y'all",
    "you'd",
    "you'll",
    "you're",
    "you've",
]
# Words that have one apostrophe and miss another.
_TWICE = {
    "couldn'tve": "couldn't've", "couldnt've": "couldn't've", "hadnt've": "hadn't've", "hadn'tve": "hadn't've",
    "hed've": "he'd've", "he'dve": "he'd've", "itd've": "it'd've", "it'dve": "it'd've",
    "mightnt've": "mightn't've", "mightn'tve": "mightn't've", "ow's'at": "'ow's'at", "'ows'at": "'ow's'at",
    "'ow'sat": "'ow's'at", "shed've": "she'd've", "she'dve": "she'd've", "shouldnt've": "shouldn't've",
    "shouldn'tve": "shouldn't've", "somebody'd": "somebodyd", "somebodyd've": "somebody'd've",
    "somebody'dve": "somebody'd've", "someoned've": "someone'd've", "someone'dve": "someone'd've",
    "somethingd've": "something'd've", "something'dve": "something'd've", "thered've": "there'd've",
    "there'dve": "there'd've", "theyd've": "they'd've", "they'dve": "they'd've", "wed've": "we'd've",
    "we'dve": "we'd've", "whod've": "who'd've", "who'dve": "who'd've", "wouldnt've": "wouldn't've",
    "wouldn'tve": "wouldn't've", "yall'll": "y'all'll", "y'allll": "y'all'll", "yall'd've": "y'all'd've",
    "y'alld've": "y'all'd've", "y'all'dve": "y'all'd've", "youd've": "you'd've", "you'dve": "you'd've",
}  # fmt: skip
_CONTRACTIONS = {word.replace("'", ""): word for word in _APOSTROPHES} | _TWICE


@functools.lru_cache(maxsize=1 << 16)  # people give the same answers over and over: three times faster on VQAv2
def normal_answer(answer: str) -> str:
    """Return an answer without punctuation, case and articles, with digits for number words."""
    words = [_NUMBERS.get(word, word) for word in without_punctuation(_one_line(answer)).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def without_punctuation(answer: str) -> str:
    """Return the text without punctuation: a mark beside a space vanishes, one between letters becomes a space.

    Where the text holds a number like 1,000 every mark vanishes.
    """
    found, has_thousands = answer, _DIGIT_COMMA.search(answer) is not None
    for mark in _REMOVED:
        is_loose = has_thousands or f"{mark} " in answer or f" {mark}" in answer
        found = found.replace(mark, "" if is_loose else " ")
    return _PERIOD.sub("", found, count=_MOST_PERIODS)


def vqa_accuracy(answer: str, people: Sequence[Mapping[str, Any]]) -> float:
    """Return 0 to 1. people: records with the key `answer`, ten as a rule, at least one."""
    records = [{**record, "answer": _one_line(record["answer"])} for record in people]
    own = _one_line(answer)
    if len({record["answer"] for record in records}) > 1:
        records = [record | {"answer": normal_answer(record["answer"])} for record in records]
        own = normal_answer(own)
    matches = [record for record in records if record["answer"] == own]
    total = 0.0
    for record in records:
        others = sum(match != record for match in matches)
        total += min(1.0, others / 3)
    return total / len(records)
