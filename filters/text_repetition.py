"""Does the text repeat itself: the same run of characters, words, lines or paragraphs over and over?

Two ratios of OBELICS (Laurençon et al. 2023, appendix A.2.2; definitions of the ROOTS corpus) and four of Gopher
(Rae et al. 2021, table A1). A page of 1 KB takes about 0.1 ms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.errors import ConfigError
from infimm_data.repetition import char_repetition, numbered_words, word_repetition
from infimm_data.rules import AtMost, Level, Rule, check_bounds

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the memory that one page of 50 MB takes
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")


@dataclass(frozen=True, kw_only=True)
class TextRepetition:
    """Inclusive upper bounds, each a fraction in 0..1 of the text; None is off.

    max_char_repetition, max_word_repetition: OBELICS' ratios over n-grams of `char_ngram` characters and
    `word_ngram` words, defaults of its document level. max_duplicate_lines, max_duplicate_paragraphs: share of
    lines (paragraphs) that stood before; max_duplicate_line_chars, max_duplicate_paragraph_chars: the share of
    characters in them; defaults of Gopher.
    """

    level: ClassVar[Level] = "document"
    char_ngram: int = 10
    word_ngram: int = 5
    max_char_repetition: float | None = 0.1
    max_word_repetition: float | None = 0.2
    max_duplicate_lines: float | None = 0.3
    max_duplicate_paragraphs: float | None = 0.3
    max_duplicate_line_chars: float | None = 0.2
    max_duplicate_paragraph_chars: float | None = 0.2

    def __post_init__(self) -> None:
        """Raise ConfigError on an n-gram of no length."""
        check_bounds(self)
        for name in ("char_ngram", "word_ngram"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the six ratios of the first million characters, 0.0 where they are too few to repeat anything."""
        text = document.text[:READ_CHARACTERS]
        lines = _stripped(text.split("\n"))
        paragraphs = _stripped(_PARAGRAPH_BREAK.split(text))
        return {
            "char_repetition": char_repetition(text, self.char_ngram),
            "word_repetition": word_repetition(numbered_words(text), self.word_ngram),
            "duplicate_lines": _duplicates(lines),
            "duplicate_paragraphs": _duplicates(paragraphs),
            "duplicate_line_chars": _duplicate_chars(lines),
            "duplicate_paragraph_chars": _duplicate_chars(paragraphs),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        bounds = {
            "char_repetition": (self.max_char_repetition, "repeated_characters"),
            "word_repetition": (self.max_word_repetition, "repeated_words"),
            "duplicate_lines": (self.max_duplicate_lines, "repeated_lines"),
            "duplicate_paragraphs": (self.max_duplicate_paragraphs, "repeated_paragraphs"),
            "duplicate_line_chars": (self.max_duplicate_line_chars, "repeated_line_characters"),
            "duplicate_paragraph_chars": (self.max_duplicate_paragraph_chars, "repeated_paragraph_characters"),
        }
        return tuple(AtMost(name, bound, reason) for name, (bound, reason) in bounds.items() if bound is not None)


def _stripped(parts: Sequence[str]) -> list[str]:
    return [stripped for part in parts if (stripped := part.strip())]


def _duplicates(parts: Sequence[str]) -> float:
    return (len(parts) - len(set(parts))) / len(parts) if parts else 0.0


def _duplicate_chars(parts: Sequence[str]) -> float:
    total = sum(map(len, parts))
    return (total - sum(map(len, set(parts)))) / total if total else 0.0
