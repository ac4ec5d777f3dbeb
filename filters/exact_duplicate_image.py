"""Does the very same image file stand on many pages, or more than once on this page?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import LiveImages
from infimm_data.groups import group_counts
from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class ExactDuplicateImage:
    """Drops image files that are decoration by their number, by sha256: what `image_duplicate` asks of pictures.

    max_documents: inclusive; a file on more documents is dropped from all (10: OBELICS' bound on URLs). max_repeat:
    inclusive; how many earlier times the file may stand on the same page: 0 keeps the first only. None is off.
    """

    level: ClassVar[Level] = "image"
    compares: ClassVar[tuple[str, ...]] = ("sha256",)
    max_documents: int | None = 10
    max_repeat: int | None = 0

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is no number."""
        check_bounds(self)

    def compare(self, images: LiveImages) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return `image_file_documents`: how many have the file, and `image_file_repeat`: how often before here."""
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(value, len(numbers)) for value in images.sha256.tolist()]
        return self.counted(np.array(groups, dtype=np.int64), images.document)

    def similar(self, keys: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return no pair: two digests are two files."""
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)

    def counted(
        self, groups: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the two counts of `compare`."""
        shown, repeats = group_counts(groups, documents)
        return {"image_file_documents": shown, "image_file_repeat": repeats}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        return (
            *within("image_file_documents", None, self.max_documents, above="image_file_too_frequent"),
            *within("image_file_repeat", None, self.max_repeat, above="image_file_repeated_in_document"),
        )
