"""Characters and words of many texts at once: ends of sentences, commas and digits counted, words told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

MAX_CHARS = 2_000  # of each text: what is counted in
_END, _STOP, _SPACE, _COMMA, _DIGIT = (1 << at for at in range(5))
_CLASSES = {".!?؟।": _END, "。！？": _STOP, ",،，": _COMMA, "0123456789": _DIGIT}


@lru_cache(maxsize=1)
def _class_of_each() -> NDArray[np.uint8]:
    """Return the class of each character of Unicode's first plane."""
    table = np.zeros(0x10000, np.uint8)
    for characters, number in _CLASSES.items():
        table[[ord(character) for character in characters]] = number
    table[[code for code in range(len(table)) if chr(code).isspace()]] = _SPACE
    return table


def count_characters(texts: Sequence[str], first: int) -> tuple[Counts, Counts, Counts]:
    """Return per text its ends of sentences, commas, and the digits of its first `first` characters.

    A sentence ends at a mark before white space or the end of the text, in Chinese and Japanese at any full stop.
    """
    lengths = np.fromiter((min(len(text), MAX_CHARS) for text in texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 1)
    starts = ends - lengths - 1
    joined = "".join([text[:MAX_CHARS] + "\n" for text in texts])
    found = _of_first_plane(_class_of_each(), _codes(joined))
    is_end = found == _STOP
    is_end[:-1] |= (found[:-1] == _END) & (found[1:] == _SPACE)
    marks = [np.flatnonzero(is_marked) for is_marked in (is_end, found == _COMMA, found == _DIGIT)]
    of_text = [np.searchsorted(ends, mark, side="right") for mark in marks]
    of_text[2] = of_text[2][marks[2] - starts[of_text[2]] < first]
    sentences, commas, digits = (np.bincount(at, minlength=len(texts)) for at in of_text)
    return sentences, commas, digits


@dataclass(frozen=True, slots=True)
class Words:
    """The words, in lower case, of several texts. found: one after the other; at: [words] the text each stands in;
    counts: [texts] how many have two letters or more.
    """

    found: list[str]
    at: Counts
    counts: Counts

    def numbers(self, known: Mapping[str, int]) -> tuple[Counts, Counts]:
        """Return which texts hold which known words, in order: the text, and the word's number in `known`."""
        numbers = np.fromiter(map(known.get, self.found, repeat(-1)), np.int64, len(self.found))
        is_known = numbers >= 0
        return self.at[is_known], numbers[is_known]


def distinct_pairs(first: Counts, second: Counts, count: int) -> tuple[Counts, Counts]:
    """Return the pairs of two numbers without repeats, sorted; second: below `count`."""
    pairs = np.sort(first * count + second)
    is_new = np.ones(len(pairs), bool)
    np.not_equal(pairs[1:], pairs[:-1], out=is_new[1:])
    first, second = np.divmod(pairs[is_new], max(count, 1))
    return first, second


def find_words(texts: Sequence[str], first: int) -> Words:
    """Return the words that the first `first` characters of each text hold: runs of letters of any script."""
    starts = [text[:first].lower() for text in texts]
    ends = np.cumsum(np.fromiter(map(len, starts), np.int64, len(starts)) + 1)
    codes = _codes(" ".join(starts))
    is_letter = _of_first_plane(_letters(), codes)
    if codes.itemsize > 2:
        beyond = np.flatnonzero(codes > 0xFFFF)
        is_letter[beyond] = [_is_letter(chr(code)) for code in codes[beyond]]
    letters = np.where(is_letter, codes, codes.dtype.type(ord(" ")))
    found = letters.tobytes().decode("utf-16-le" if codes.itemsize == 2 else "utf-32-le").split()
    edges = np.diff(is_letter.view(np.int8), prepend=0, append=0)
    begins = np.flatnonzero(edges > 0)
    at = np.searchsorted(ends, begins, side="right")
    is_long = np.flatnonzero(edges < 0) - begins > 1
    return Words(found, at, np.bincount(at[is_long], minlength=len(starts)))


def _codes(text: str) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """Return the code of each character, in two bytes where all stand in Unicode's first plane, else in four."""
    short = text.encode("utf-16-le", "replace")
    if len(short) == 2 * len(text):
        return np.frombuffer(short, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "replace"), "<u4")


def _of_first_plane(table: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Return what a table of the first plane says of each code, of those beyond what it says of the plane's last."""
    return np.asarray(table[codes] if codes.itemsize == 2 else table[np.minimum(codes, 0xFFFF)])


@lru_cache(maxsize=1)
def _letters() -> NDArray[np.bool_]:
    """Return which characters of Unicode's first plane are letters."""
    return np.fromiter((_is_letter(chr(code)) for code in range(0x10000)), bool, 0x10000)


def _is_letter(character: str) -> bool:
    """Say whether a character is a letter, or a numeral that is no digit: a word character but for digits and "_"."""
    return character.isalnum() and not character.isdecimal()
