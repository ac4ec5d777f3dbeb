"""Does the URL of an image stand on many pages of the whole set: a logo, an advertisement? Asked before any fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.rules import Level, Rule, check_bounds, within
from infimm_data.urls import page_key


@dataclass(frozen=True, kw_only=True)
class ImageUrlFrequency:
    """Drops images whose URL stands too often in the set, from all documents.

    max_count: inclusive, image nodes of all documents with that URL (10: Laurençon et al. 2023, section 3.3); None is
    off. URLs are compared as `infimm_data.urls.page_key` writes them. All pages of the set count, also those that other
    steps drop, so that no threshold changes a count: OBELICS counts what its filters left, so it drops fewer.
    """

    level: ClassVar[Level] = "image"
    max_count: int | None = 10

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is no number."""
        check_bounds(self)

    def image_key(self, url: str) -> str:
        """Return what is counted for a URL, "" for none."""
        return page_key(url) if url.strip() else ""

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound where it is on."""
        return within("image_url_count", None, self.max_count, above="image_url_too_frequent")
