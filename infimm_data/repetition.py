"""How much of a text repeats itself: the ratios of OBELICS and Gopher, which filters of paragraphs and documents share.

N-grams are counted by a 64-bit hash, so a count is wrong with a probability of about 1e-11 per page of 10,000
characters; in exchange a page of 1 KB takes about 0.1 ms.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infimm_data.text import words

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: Knuth's multiplicative hashing


@dataclass(frozen=True, slots=True, eq=False)
class NumberedWords:
    """The words of a text in order. numbers: equal for equal words; sizes: characters of each."""

    numbers: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.int64]


def numbered(words_in_order: Sequence[str]) -> NumberedWords:
    """Return words by numbers, from 0 in the order in which they first stand."""
    known = {word: number for number, word in enumerate(dict.fromkeys(words_in_order))}
    count = len(words_in_order)
    return NumberedWords(
        np.fromiter(map(known.__getitem__, words_in_order), dtype=np.uint32, count=count),
        np.fromiter(map(len, words_in_order), dtype=np.int64, count=count),
    )


@functools.lru_cache(maxsize=1)  # filters ask one after the other, and cutting it costs as much as what they do then
def numbered_words(text: str) -> NumberedWords:
    """Return the words of a text in lower case, by numbers."""
    return numbered(words(text.lower()))


def char_repetition(text: str, n: int) -> float:
    """Return OBELICS' character repetition ratio, 0..1: the share of the most frequent n-grams among all.

    Of D distinct n-grams the min(floor(sqrt(D)), those that occur more than once) most frequent ones count.
    """
    counts = _ngram_counts(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4"), n)
    repeated = np.sort(counts[counts > 1])
    top = min(math.isqrt(len(counts)), len(repeated))
    return float(repeated[len(repeated) - top :].sum() / counts.sum()) if top else 0.0


def word_repetition(words_in_order: NumberedWords, n: int) -> float:
    """Return OBELICS' word repetition ratio, 0..1: the share of n-grams that occur more than once."""
    counts = _ngram_counts(words_in_order.numbers, n)
    return float(counts[counts > 1].sum() / counts.sum()) if len(counts) else 0.0


def ngram_shares(
    words_in_order: NumberedWords, tops: Collection[int], duplicates: Collection[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Return Gopher's two shares by the length of the n-gram, both of the characters of all words; 0.0 without words.

    tops: lengths for which the most frequent n-gram counts, its characters times its count; 0 or more. Of n-grams
    that are equally frequent the longest counts (Rae et al. 2021, table A1, do not say). An n-gram that occurs once
    repeats nothing. duplicates: lengths for which the characters inside n-grams that stood before count, 0..1; those
    of overlapping n-grams once, as Rae et al. ask.
    """
    ends = np.zeros(len(words_in_order.sizes) + 1, dtype=np.int64)
    np.cumsum(words_in_order.sizes, out=ends[1:])
    top, duplicate = dict.fromkeys(tops, 0.0), dict.fromkeys(duplicates, 0.0)
    for n, starts, sizes in _repeated_ngrams(words_in_order.numbers, max((*tops, *duplicates))):
        firsts = np.cumsum(sizes) - sizes
        if n in top:
            most = starts[firsts[sizes == sizes.max()]]
            top[n] = float((ends[most + n] - ends[most]).max() * sizes.max() / ends[-1])
        if n in duplicate:
            change = np.zeros(len(ends), dtype=np.int64)
            later = np.delete(starts, firsts)
            np.add.at(change, later, 1)
            np.add.at(change, later + n, -1)
            duplicate[n] = float(np.diff(ends)[np.cumsum(change[:-1]) > 0].sum() / ends[-1])
    return top, duplicate


def _repeated_ngrams(
    values: npt.NDArray[np.uint32], longest: int
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield n, where the n-grams that occur more than once start, equal ones beside each other, and how many each.

    Nothing where nothing repeats. Only what repeats at n can repeat at n + 1, so that long n-grams cost very little.
    """
    spread = values.astype(np.uint64) + np.uint64(1)
    starts, hashes = np.arange(len(values)), np.zeros(len(values), dtype=np.uint64)
    for n in range(1, longest + 1):
        inside = starts + n <= len(values)
        starts, hashes = starts[inside], hashes[inside]
        if not len(starts):
            return
        hashes = hashes * _MULTIPLIER + spread[starts + n - 1]
        order = np.argsort(hashes, kind="stable")
        starts, hashes = starts[order], hashes[order]
        sizes = np.diff(np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]])))
        repeats = np.repeat(sizes > 1, sizes)
        starts, hashes = starts[repeats], hashes[repeats]
        if len(starts):
            yield n, starts, sizes[sizes > 1]


def _ngram_hashes(values: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.uint64]:
    """Return a hash of every n-gram of `values`, in order; empty below n values."""
    length = len(values) - n + 1
    if length <= 0:
        return np.zeros(0, dtype=np.uint64)
    spread = values.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(length, dtype=np.uint64)
    for offset in range(n):
        hashes *= _MULTIPLIER
        hashes += spread[offset : offset + length]
    return hashes


def _ngram_counts(values: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.int64]:
    """Return how often each distinct n-gram of `values` occurs, in no particular order; empty below n values."""
    hashes = np.sort(_ngram_hashes(values, n))
    if not len(hashes):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    return np.diff(starts, append=len(hashes))
