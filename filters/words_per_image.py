"""Is there enough text for the images: a page, not a gallery or a shop window?

OmniCorpus asks 50 words per image of documents with more than two images (Li et al. 2024; its released text filter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import Level, Rule, check_bounds, within
from infimm_data.text import words


@dataclass(frozen=True, kw_only=True)
class WordsPerImage:
    """min_words_per_image, max_words_per_image: inclusive bounds; None is off.

    free_images: documents with at most so many images are not asked (OmniCorpus: 2). Images are those of the page as
    extracted, before any is dropped.
    """

    level: ClassVar[Level] = "document"
    min_words_per_image: float | None = 50
    max_words_per_image: float | None = None
    free_images: int = 2

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `words_per_image`; None for a document with at most `free_images` images."""
        count = len(document.images)
        if count <= self.free_images:
            return {"words_per_image": None}
        return {"words_per_image": sum(len(words(node.text)) for node in document.texts) / count}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on; they let pass what was not asked."""
        return within(
            "words_per_image",
            self.min_words_per_image,
            self.max_words_per_image,
            below="too_few_words_per_image",
            above="too_many_words_per_image",
            or_unknown=True,
        )
