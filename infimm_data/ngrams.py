"""Runs of words as 64-bit numbers: what near copies and benchmarks are looked for by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xxhash

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: Knuth's multiplicative hash

Keys = npt.NDArray[np.uint64]


def word_hashes(text: str) -> Keys:
    """Return a hash (xxh3) of each word of a text in normal form, whose words are joined by one space."""
    words = text.encode("utf-8", "surrogatepass").split(b" ") if text else []
    return np.fromiter(map(xxhash.xxh3_64_intdigest, words), dtype=np.uint64, count=len(words))


def ngram_keys(hashes: Keys, length: int) -> Keys:
    """Return a hash of each run of `length` words, in order; hashes: of the words; none where there are fewer."""
    size = len(hashes) - length + 1
    keys = np.zeros(max(0, size), dtype=np.uint64)
    for start in range(length if size > 0 else 0):
        keys = (keys ^ hashes[start : start + size]) * _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    return keys
