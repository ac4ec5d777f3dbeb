"""Does another document show exactly the same images: a mirror, or the same page under another text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.errors import ConfigError
from infimm_data.links import digest
from infimm_data.rules import FirstOfGroup, Level, Rule
from infimm_data.urls import page_key


@dataclass(frozen=True, kw_only=True)
class DuplicateImageSet:
    """Keeps one document of those whose images have the same set of URLs (Laurençon et al. 2023, appendix A.2).

    from_images: of different images that a document must have to be compared; with fewer it has no twin. All images
    of the page count, also those that other steps drop: OBELICS asks once its image filters are through, so it finds
    more. OBELICS keeps the newest: `dedup: {rank: [date]}`.
    """

    level: ClassVar[Level] = "document"
    from_images: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError where documents without images would be twins."""
        if self.from_images < 1:
            raise ConfigError(f"from_images is {self.from_images}, expected 1 or more: no image says nothing of a page")

    def signature(self, document: Document) -> bytes:
        """Return the digest of the set of image URLs, b"" with too few of them."""
        urls = {page_key(node.url) for node in document.images if node.url.strip()}
        return digest("\n".join(sorted(urls))) if len(urls) >= self.from_images else b""

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the best of each group stays."""
        return (FirstOfGroup("duplicate_image_set_group", "duplicate_image_set"),)
