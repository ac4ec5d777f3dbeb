"""Does the text look like writing? Gopher's rules on words and lines (Rae et al. 2021, table A1, "quality")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import Level, Rule, check_bounds, within

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the time that one page of 50 MB takes
_NEEDED = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_BULLETS = (
    "\u2022", "\u2023", "\u25b6", "\u25c0", "\u25e6", "\u25a0", "\u25a1", "\u25aa", "\u25ab", "\u2013", "-", "*",
)  # fmt: skip
_ELLIPSES = ("...", "\u2026")


@dataclass(frozen=True, kw_only=True)
class GopherQuality:
    """Inclusive bounds; None is off.

    min_words, max_words: words split at white space that hold a letter or digit; min_mean_word_length,
    max_mean_word_length: characters of these; max_hash_ratio, max_ellipsis_ratio: marks per word; max_bullet_lines,
    max_ellipsis_lines: shares of lines; min_alphabetic_words: share of words with a letter; min_gopher_stop_words:
    how many of Gopher's eight English words must occur. Rules for pages of text: captions and lists trip them, so
    on interleaved pages the bounds on lines are better wide.
    """

    level: ClassVar[Level] = "document"
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = 3
    max_mean_word_length: float | None = 10
    max_hash_ratio: float | None = 0.1
    max_ellipsis_ratio: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_alphabetic_words: float | None = 0.8
    min_gopher_stop_words: int | None = 2

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the eight measures of the first million characters; 0 where there are no words."""
        text = document.text[:READ_CHARACTERS]
        tokens = text.split()
        words = [token for token in tokens if token.isalnum() or any(map(str.isalnum, token))]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        count, num_lines = max(len(tokens), 1), max(len(lines), 1)
        return {
            "gopher_words": len(words),
            "mean_word_length": sum(map(len, words)) / max(len(words), 1),
            "hash_ratio": text.count("#") / count,
            "ellipsis_ratio": sum(map(text.count, _ELLIPSES)) / count,
            "bullet_lines": sum(line.startswith(_BULLETS) for line in lines) / num_lines,
            "ellipsis_lines": sum(line.endswith(_ELLIPSES) for line in lines) / num_lines,
            "alphabetic_words": sum(token.isalpha() or any(map(str.isalpha, token)) for token in tokens) / count,
            "gopher_stop_words": len(_NEEDED.intersection(map(str.lower, tokens))),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        return (
            *within(
                "gopher_words", self.min_words, self.max_words, below="gopher_few_words", above="gopher_many_words"
            ),
            *within(
                "mean_word_length",
                self.min_mean_word_length,
                self.max_mean_word_length,
                below="words_too_short",
                above="words_too_long",
            ),
            *within("hash_ratio", None, self.max_hash_ratio, above="too_many_hashes"),
            *within("ellipsis_ratio", None, self.max_ellipsis_ratio, above="too_many_ellipses"),
            *within("bullet_lines", None, self.max_bullet_lines, above="too_many_bullet_lines"),
            *within("ellipsis_lines", None, self.max_ellipsis_lines, above="too_many_ellipsis_lines"),
            *within("alphabetic_words", self.min_alphabetic_words, None, below="too_few_alphabetic_words"),
            *within("gopher_stop_words", self.min_gopher_stop_words, None, below="no_english_stop_words"),
        )
