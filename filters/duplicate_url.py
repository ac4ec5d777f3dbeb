"""Was the same page taken twice: does another document have its URL, written in another way perhaps?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.links import digest
from infimm_data.rules import FirstOfGroup, Level, Rule
from infimm_data.urls import page_key


@dataclass(frozen=True, kw_only=True)
class DuplicateUrl:
    """Keeps one document of those with one URL, as `infimm_data.urls.page_key` writes it; without one it has no twin.

    OBELICS keeps the newest of them (Laurençon et al. 2023, appendix A.2): `dedup: {rank: [date]}`.
    """

    level: ClassVar[Level] = "document"

    def signature(self, document: Document) -> bytes:
        """Return the digest of the URL's key, b"" without a URL."""
        url = document.origin.url.strip()
        return digest(page_key(url)) if url else b""

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the best of each group stays."""
        return (FirstOfGroup("duplicate_url_group", "duplicate_url"),)
