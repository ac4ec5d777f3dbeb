"""Does the text say the same phrase over and over? Gopher's rules on n-grams of words (Rae et al. 2021, table A1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.repetition import ngram_shares, numbered_words
from infimm_data.rules import AtMost, Level, Rule, check_bounds

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the memory that one page of 50 MB takes
_TOPS, _DUPLICATES = range(2, 5), range(5, 11)  # words of an n-gram


@dataclass(frozen=True, kw_only=True)
class NgramRepetition:
    """max_top_N: inclusive, characters of the most frequent N-gram of words times its count, over all characters of
    words; max_duplicate_N: inclusive, share of these characters inside N-grams that stood before. None is off.
    """

    level: ClassVar[Level] = "document"
    max_top_2: float | None = 0.20
    max_top_3: float | None = 0.18
    max_top_4: float | None = 0.16
    max_duplicate_5: float | None = 0.15
    max_duplicate_6: float | None = 0.14
    max_duplicate_7: float | None = 0.13
    max_duplicate_8: float | None = 0.12
    max_duplicate_9: float | None = 0.11
    max_duplicate_10: float | None = 0.10

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is no number."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the nine shares of the first million characters, 0.0 where words are too few to repeat anything."""
        found = numbered_words(document.text[:READ_CHARACTERS])
        tops, duplicates = ngram_shares(found, tops=_TOPS, duplicates=_DUPLICATES)
        shares = {f"top_{n}grams": share for n, share in tops.items()}
        return shares | {f"duplicate_{n}grams": share for n, share in duplicates.items()}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        kinds = [("top", n) for n in _TOPS] + [("duplicate", n) for n in _DUPLICATES]
        bounds = {(kind, n): getattr(self, f"max_{kind}_{n}") for kind, n in kinds}
        return tuple(
            AtMost(f"{kind}_{n}grams", bound, f"repeated_{kind}_{n}grams")
            for (kind, n), bound in bounds.items()
            if bound is not None
        )
