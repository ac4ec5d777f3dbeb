"""Does another document hold the same words in the same order, whatever its layout and case?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.rules import FirstOfGroup, Level, Rule
from infimm_data.text import text_digest


@dataclass(frozen=True, kw_only=True)
class ExactDuplicateText:
    """Keeps one document of those whose text has the same normal form; documents without a word have no twin."""

    level: ClassVar[Level] = "document"

    def signature(self, document: Document) -> bytes:
        """Return the digest of the text's normal form, b"" without a word."""
        return bytes.fromhex(text_digest(document.text) or "")

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the best of each group stays."""
        return (FirstOfGroup("exact_duplicate_text_group", "exact_duplicate_text"),)
