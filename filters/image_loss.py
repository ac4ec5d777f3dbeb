"""Are all images of a document still there? A conversation about a missing picture teaches to make things up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.rules import AtMost, Level, Rule, check_bounds


@dataclass(frozen=True, kw_only=True)
class ImageLoss:
    """max_lost: inclusive bound, images of a document that could not be had or that earlier steps dropped."""

    level: ClassVar[Level] = "document"
    max_lost: int | None = 0

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is none."""
        check_bounds(self)

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound, over the count that the decide pass keeps."""
        return () if self.max_lost is None else (AtMost("images_lost", self.max_lost, "images_lost"),)
