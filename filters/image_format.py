"""Is a fetched image in a format that is wanted?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.rules import Level, OneOf, Rule

FORMATS = ("jpeg", "png", "webp", "gif")  # what infimm_data.images decodes


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """keep: the formats that stay, by content and not by file name; of "jpeg", "png", "webp", "gif".

    The default is OBELICS' (jpg, png, webp): a GIF is most often an animation or a decoration.
    """

    level: ClassVar[Level] = "image"
    keep: tuple[str, ...] = ("jpeg", "png", "webp")

    def __post_init__(self) -> None:
        """Raise ConfigError on a format that no image can have."""
        for name in self.keep:
            if name not in FORMATS:
                hint = did_you_mean(name, FORMATS)
                raise ConfigError(f"keep: unknown format '{name}'.{hint} There are: {', '.join(FORMATS)}.")

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule, over the format that the fetch pass saw."""
        return (OneOf("format", self.keep, "image_format_unwanted"),)
