"""Is the file of a fetched image larger than the blank pixels and error pictures of the web, and not huge?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class ImageBytes:
    """min_bytes, max_bytes: inclusive bounds, bytes of the image file as it was fetched.

    Default 5,000: LAION-400M and COYO-700M drop images below 5 KB (Schuhmann et al. 2021; COYO's dataset card).
    """

    level: ClassVar[Level] = "image"
    min_bytes: int | None = 5_000
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on, over what the fetch pass measured."""
        return within(
            "size_bytes", self.min_bytes, self.max_bytes, below="image_too_few_bytes", above="image_too_many_bytes"
        )
