"""Is the text a near copy of another document's: the same words but for a few edits?

MinHash of word 5-grams (Broder 1997; rensa's R-MinHash after Dahlgaard et al. 2017), locality-sensitive banding,
and every candidate pair checked by its estimated Jaccard similarity before it joins, so that a chance collision
of one band never does. Groups are transitive: chains of near copies end in one group. Cost: 512 bytes a document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document
from infimm_data.errors import ConfigError
from infimm_data.links import row_hashes
from infimm_data.ngrams import ngram_keys, word_hashes
from infimm_data.rules import FirstOfGroup, Level, Mask, Rule
from infimm_data.text import normal_form

_SEED = 42  # of the hash functions: signatures with another seed are not comparable
_CANDIDATE_CHANCE = 0.995  # a pair at the threshold shares a band with this probability; false ones are checked

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the memory that one page of 50 MB takes


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

        hashes = word_hashes(normal_form(document.text[:READ_CHARACTERS]))
        if not len(hashes):
            return b""
        ngrams = ngram_keys(hashes, min(self.ngram, len(hashes)))
        ends = np.array([0, len(ngrams)], dtype=np.uint64)
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(ngrams, ends, self.permutations, _SEED)
        return np.array(matrix.to_rows()[0], dtype="<u4").tobytes()

    @property
    def signature_bytes(self) -> int:
        """Bytes of a signature."""
        return 4 * self.permutations

    def keys(self, signatures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """Return a key for each band of each signature; signatures: [documents, signature_bytes]."""
        matrix = signatures.view("<u4")
        bands, rows = bands_for(self.threshold, self.permutations)
        banded = [matrix[:, band * rows : (band + 1) * rows].astype(np.uint64) for band in range(bands)]
        return np.stack([row_hashes(some, seed=band) for band, some in enumerate(banded)], axis=1)

    def alike(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> Mask:
        """Return which pairs have an estimated similarity near enough to the threshold: the share of equal entries."""
        error = math.sqrt(self.threshold * (1 - self.threshold) / self.permutations)
        needed = (self.threshold - 2 * error) * self.permutations
        return np.asarray((left.view("<u4") == right.view("<u4")).sum(axis=1) >= needed, dtype=np.bool_)

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the first of each group stays."""
        return (FirstOfGroup("near_duplicate_text_group", "near_duplicate_text"),)


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
