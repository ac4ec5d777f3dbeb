"""Are the lines of the text lines of prose? FineWeb's rules on lines (Penedo et al. 2024, section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import Level, Rule, check_bounds, within
from infimm_data.text import words

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the time that one page of 50 MB takes
_SHORT_CHARACTERS = 30
_END = (".", "?", "!", '"', "'", "\u201d", "\u2019", "\u3002", "\uff01", "\uff1f", "\u06d4", "\u061f", "\u0964")


@dataclass(frozen=True, kw_only=True)
class LineQuality:
    """Inclusive bounds, shares of lines; None is off.

    min_ended_lines: that end in punctuation; max_short_lines: of at most 30 characters; max_repeated_line_chars:
    share of the characters in lines that stood before; max_breaks_per_word: line breaks per word.
    """

    level: ClassVar[Level] = "document"
    min_ended_lines: float | None = 0.12
    max_short_lines: float | None = 0.67
    max_repeated_line_chars: float | None = 0.01
    max_breaks_per_word: float | None = 0.3

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the four measures of the first million characters; 0.0 where there are no lines."""
        text = document.text[:READ_CHARACTERS]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        count, characters = max(len(lines), 1), max(sum(map(len, lines)), 1)
        return {
            "ended_lines": sum(line.endswith(_END) for line in lines) / count,
            "short_lines": sum(len(line) <= _SHORT_CHARACTERS for line in lines) / count,
            "repeated_line_chars": (sum(map(len, lines)) - sum(map(len, set(lines)))) / characters,
            "breaks_per_word": text.count("\n") / max(len(words(text)), 1),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        return (
            *within("ended_lines", self.min_ended_lines, None, below="too_few_ended_lines"),
            *within("short_lines", None, self.max_short_lines, above="too_many_short_lines"),
            *within("repeated_line_chars", None, self.max_repeated_line_chars, above="repeated_line_text"),
            *within("breaks_per_word", None, self.max_breaks_per_word, above="too_many_line_breaks"),
        )
