"""How much of a text repeats itself: the ratios of OBELICS and Gopher, which filters of paragraphs and documents share.

N-grams are counted by a 64-bit hash, so a count is wrong with a probability of about 1e-11 per page of 10,000
characters; in exchange a page of 1 KB takes about 0.1 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: Knuth's multiplicative hashing


def char_repetition(text: str, n: int) -> float:
    """Return OBELICS' character repetition ratio, 0..1: the share of the most frequent n-grams among all.

    Of D distinct n-grams the min(floor(sqrt(D)), those that occur more than once) most frequent ones count.
    """
    counts = _ngram_counts(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4"), n)
    repeated = np.sort(counts[counts > 1])
    top = min(math.isqrt(len(counts)), len(repeated))
    return float(repeated[len(repeated) - top :].sum() / counts.sum()) if top else 0.0


def word_repetition(words_in_order: Sequence[str], n: int) -> float:
    """Return OBELICS' word repetition ratio, 0..1: the share of n-grams that occur more than once."""
    counts = _ngram_counts(_numbered(words_in_order), n)
    return float(counts[counts > 1].sum() / counts.sum()) if len(counts) else 0.0


def top_ngram_characters(words_in_order: Sequence[str], n: int) -> float:
    """Return Gopher's top n-gram share, 0 or more: characters of the most frequent n-gram, times its count, of all.

    Characters are those of words; of n-grams that are equally frequent the longest counts (Rae et al. 2021, table
    A1, do not say). An n-gram that occurs once repeats nothing: 0.0.
    """
    hashes = _ngram_hashes(_numbered(words_in_order), n)
    total = sum(map(len, words_in_order))
    if not len(hashes) or not total:
        return 0.0
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    most = int(counts.max())
    if most < 2:
        return 0.0
    lengths = [sum(map(len, words_in_order[at : at + n])) for at in first[counts == most].tolist()]
    return max(lengths) * most / total


def duplicate_ngram_characters(words_in_order: Sequence[str], n: int) -> float:
    """Return Gopher's duplicate n-gram share, 0..1: characters of words inside n-grams that stood before, of all.

    Overlapping n-grams count their characters once, as Rae et al. 2021 ask.
    """
    hashes = _ngram_hashes(_numbered(words_in_order), n)
    total = sum(map(len, words_in_order))
    if not len(hashes) or not total:
        return 0.0
    _, first = np.unique(hashes, return_index=True)
    repeats = np.ones(len(hashes), dtype=bool)
    repeats[first] = False
    starts = np.flatnonzero(repeats)
    if not len(starts):
        return 0.0
    change = np.zeros(len(words_in_order) + 1, dtype=np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + n, -1)
    inside = np.cumsum(change[:-1]) > 0
    lengths = np.fromiter(map(len, words_in_order), dtype=np.int64, count=len(words_in_order))
    return float(lengths[inside].sum() / total)


def _numbered(words_in_order: Sequence[str]) -> npt.NDArray[np.uint32]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(word, len(numbers)) for word in words_in_order], dtype=np.uint32)


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
