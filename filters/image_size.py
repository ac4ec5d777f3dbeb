"""Is a fetched image large enough to show something, and not a banner?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.rules import AtMost, Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """min_side: pixels of the short side; max_side: pixels of the long side; max_aspect: long side / short side.

    Bounds are inclusive. The aspect is taken long over short, so portrait and landscape are treated alike.
    Defaults: 150 and 2.0 of OBELICS and MMC4, 20,000 of OBELICS (Laurençon et al. 2023, appendix A.2.2; Zhu et
    al. 2023, section 3).
    """

    level: ClassVar[Level] = "image"
    min_side: int | None = 150
    max_side: int | None = 20_000
    max_aspect: float | None = 2.0

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on, over what the fetch pass measured."""
        return (
            *within("short_side", self.min_side, None, below="image_too_small"),
            *(() if self.max_side is None else (AtMost("width", self.max_side, "image_too_wide"),)),
            *(() if self.max_side is None else (AtMost("height", self.max_side, "image_too_high"),)),
            *within("aspect", None, self.max_aspect, above="image_too_elongated"),
        )
