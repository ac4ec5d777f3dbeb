"""Does a document still have images, and not a whole gallery?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class ImageCount:
    """min_images, max_images: inclusive bounds, images of a document that earlier steps kept.

    Defaults: 1 and 30 of OBELICS (Laurençon et al. 2023, appendix A.2.2). min_images 0 lets pure text through.
    """

    level: ClassVar[Level] = "document"
    min_images: int | None = 1
    max_images: int | None = 30

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on, over the count that the decide pass keeps."""
        return within("images_kept", self.min_images, self.max_images, below="too_few_images", above="too_many_images")
