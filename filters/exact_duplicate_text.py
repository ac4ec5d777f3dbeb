"""Does another document hold the same words in the same order, whatever its layout and case?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import FirstOfGroup, Level, Rule
from infimm_data.text import text_digest


@dataclass(frozen=True, kw_only=True)
class ExactDuplicateText:
    """Keeps one document of those whose text has the same normal form; documents without a word have no twin."""

    level: ClassVar[Level] = "document"

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `text_hash`: `text_digest`, None without a word."""
        return {"text_hash": text_digest(document.text)}

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the first of each group stays."""
        return (FirstOfGroup("text_hash", "exact_duplicate_text"),)
