"""Does another document pair the same image with the same text? One picture may well stand with several texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, ImageNode
from infimm_data.errors import ConfigError
from infimm_data.links import digest
from infimm_data.rules import FirstOfGroup, Level, Rule


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """by: what makes two images the same: "url" (LAION drops equal URL and text), or a measure of the dump like
    "image_phash" (COYO drops equal image_phash and text).

    Texts are the same when they are, white space folded. Documents without a text, without an image, or of which an
    image has no such measure have no twin. Of equal ones the best by `dedup.rank` stays.
    """

    level: ClassVar[Level] = "document"
    by: str = "url"

    def __post_init__(self) -> None:
        """Raise ConfigError where nothing is compared."""
        if not self.by:
            raise ConfigError("by is empty; expected url, or a measure of the dump like image_phash")

    def signature(self, document: Document) -> bytes:
        """Return the digest of the images and the text; b"" without a twin."""
        images = [self._image(node) for node in document.images]
        text = " ".join(document.text.split())
        if not text or not images or None in images:
            return b""
        return digest("\0".join([*(image or "" for image in images), text]))

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule: the first of each group stays."""
        return (FirstOfGroup("duplicate_pair_group", "duplicate_pair"),)

    def _image(self, node: ImageNode) -> str | None:
        found = node.url if self.by == "url" else node.scores.get(self.by)
        return None if found is None or found == "" else str(found)
