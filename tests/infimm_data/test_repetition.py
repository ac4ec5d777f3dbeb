"""N-grams of words that repeat: by hand, and against a count without hashes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from infimm_data.repetition import ngram_shares, numbered


def shares(words: list[str], n: int) -> tuple[float, float]:
    tops, duplicates = ngram_shares(numbered(words), tops=(n,), duplicates=(n,))
    return tops[n], duplicates[n]


def counted_top(words: list[str], n: int) -> float:
    counts = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    most = max(counts.values(), default=0)
    if most < 2:
        return 0.0
    return max(len("".join(gram)) for gram, c in counts.items() if c == most) * most / len("".join(words))


def counted_duplicates(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    inside = [False] * len(words)
    for at in range(len(words) - n + 1):
        gram = tuple(words[at : at + n])
        if gram in seen:
            inside[at : at + n] = [True] * n
        seen.add(gram)
    total = len("".join(words))
    return sum(len(word) for word, is_in in zip(words, inside, strict=True) if is_in) / total if total else 0.0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_both_shares_are_those_of_a_plain_count(seed, n):
    rng = random.Random(seed)
    vocabulary = ["a", "bb", "ccc", "dddd", "e" * rng.randint(1, 9)][: rng.randint(1, 5)]
    words = [rng.choice(vocabulary) for _ in range(rng.choice([0, 1, n - 1, n, n + 1, 60]))]
    counted = counted_top(words, n), counted_duplicates(words, n)
    assert shares(words, n) == pytest.approx(counted, abs=1e-12)


def test_all_lengths_at_once_are_each_by_itself():
    words = [random.Random(3).choice(["a", "bb", "ccc"]) for _ in range(200)]
    tops, duplicates = ngram_shares(numbered(words), tops=range(2, 5), duplicates=range(5, 11))
    assert tops == pytest.approx({n: counted_top(words, n) for n in range(2, 5)})
    assert duplicates == pytest.approx({n: counted_duplicates(words, n) for n in range(5, 11)})


def test_by_hand():
    words = ["red", "ship", "red", "ship", "x"]  # 15 characters; "red ship" twice: 14 of them, 7 in the second
    assert shares(words, 2) == pytest.approx((14 / 15, 7 / 15))
    assert shares(["a", "b", "c"], 2) == (0.0, 0.0)
    assert shares([], 2) == (0.0, 0.0)
