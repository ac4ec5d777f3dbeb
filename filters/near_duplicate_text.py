"""Is the text a near copy of another document's: the same words but for a few edits?

MinHash of word 5-grams (Broder 1997; rensa's R-MinHash after Dahlgaard et al. 2017), locality-sensitive banding,
and every candidate pair checked by its estimated Jaccard similarity before it joins, so that a chance collision
of one band never does. Groups are transitive: chains of near copies end in one group.
Cost: 512 bytes a document; candidates beyond the 256 nearest of one bucket are compared with its first only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document
from infimm_data.errors import ConfigError
from infimm_data.groups import Positions, pairs_of_equals, smallest_of_group
from infimm_data.rules import FirstOfGroup, Level, Rule
from infimm_data.text import normal_form

_SEED = 42  # of the hash functions: signatures with another seed are not comparable
_CANDIDATE_CHANCE = 0.995  # a pair at the threshold shares a band with this probability; false ones are checked
_MAX_NEIGHBOURS = 256  # candidates of one document in one bucket: bounds the work on a million templated pages
_PAIRS_AT_ONCE = 1 << 18  # pairs whose signatures are compared at once: 2 x 128 MiB with 128 permutations
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the memory that one page of 50 MB takes

Signatures = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class NearDuplicateText:
    """Keeps one document of each group whose texts are near copies.

    threshold: Jaccard similarity of the sets of word n-grams, 0..1, from which documents are meant to join (0.8
    of text-dedup, Lee et al. 2022). A pair joins when its estimate reaches the threshold less two standard
    errors, so nearly all pairs above it join and some below it do. ngram: words per n-gram. permutations: length
    of the signature; the standard error of an estimate at 0.8 is 0.035 with 128.
    """

    level: ClassVar[Level] = "document"
    threshold: float = 0.8
    ngram: int = 5
    permutations: int = 128

    def __post_init__(self) -> None:
        """Raise ConfigError on settings that compare nothing."""
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold is {self.threshold}, expected a Jaccard similarity above 0, at most 1")
        if self.ngram < 1 or self.permutations < 1:
            raise ConfigError(f"ngram is {self.ngram}, permutations {self.permutations}; both must be at least 1")

    def signature(self, document: Document) -> bytes:
        """Return the MinHash of the text, 4 bytes per permutation (little-endian); b"" without a word.

        Only the first million characters are compared.
        """
        import rensa  # compiled; loaded only where documents are compared

        text = normal_form(document.text[:READ_CHARACTERS])
        if not text:
            return b""
        words = text.split(" ")
        shifted = [words[start:] for start in range(min(self.ngram, len(words)))]
        minhash = rensa.RMinHash(num_perm=self.permutations, seed=_SEED)
        minhash.update([" ".join(ngram) for ngram in zip(*shifted, strict=False)])
        return np.array(minhash.digest(), dtype="<u4").tobytes()

    def group(self, signatures: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """Return for each signature the smallest position among its near copies; its own when it has none."""
        present = np.array([at for at, signature in enumerate(signatures) if signature], dtype=np.int64)
        labels = np.arange(len(signatures), dtype=np.int64)
        if not len(present):
            return labels
        joined = b"".join(signatures[at] for at in present.tolist())
        matrix = np.frombuffer(joined, dtype="<u4").reshape(len(present), self.permutations)
        left, right = self._alike(matrix)
        labels[present] = present[smallest_of_group(len(present), left, right)]
        return labels

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the first of each group stays."""
        return (FirstOfGroup("near_duplicate_text_group", "near_duplicate_text"),)

    def _alike(self, matrix: Signatures) -> tuple[Positions, Positions]:
        """Return the pairs of rows that join. Equal rows are paired first, so a page copied 10,000 times is one."""
        same_first, same_other = pairs_of_equals(_row_keys(matrix))
        single = np.ones(len(matrix), dtype=bool)
        single[same_other] = False
        rows = np.flatnonzero(single)
        error = math.sqrt(self.threshold * (1 - self.threshold) / self.permutations)
        needed = self.threshold - 2 * error
        lefts, rights = [same_first], [same_other]
        bands, band_rows = bands_for(self.threshold, self.permutations)
        for band in range(bands):
            keys = _row_keys(matrix[rows, band * band_rows : (band + 1) * band_rows])
            for left, right in _candidates(keys):
                good = _estimates(matrix, rows[left], rows[right]) >= needed
                lefts.append(rows[left[good]])
                rights.append(rows[right[good]])
        return np.concatenate(lefts), np.concatenate(rights)


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows per band): as many rows as still make a pair at the threshold a likely candidate.

    A pair of similarity s shares a band with probability 1 - (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman,
    section 3.4). As candidates are checked, what counts is that none is missed, and that few are wrong.
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= _CANDIDATE_CHANCE:
            return bands, rows
    return permutations, 1


def _row_keys(rows: Signatures) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each row."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        keys = (keys ^ rows[:, column]) * _MULTIPLIER
        keys ^= keys >> np.uint64(32)
    return keys


def _candidates(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[Positions, Positions]]:
    """Yield the pairs of positions with equal keys: each with its next 256 in the bucket, and with the first."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for lag in range(1, _MAX_NEIGHBOURS + 1):
        at = np.flatnonzero(ordered[lag:] == ordered[:-lag])
        if not len(at):
            return
        yield from _pieces(order[at], order[at + lag])
    yield from _pieces(*pairs_of_equals(keys))


def _pieces(left: Positions, right: Positions) -> Iterator[tuple[Positions, Positions]]:
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        yield left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE]


def _estimates(matrix: Signatures, left: Positions, right: Positions) -> npt.NDArray[np.float64]:
    """Return the estimated Jaccard similarity of each pair: the share of equal signature entries."""
    return np.asarray((matrix[left] == matrix[right]).mean(axis=1), dtype=np.float64)
