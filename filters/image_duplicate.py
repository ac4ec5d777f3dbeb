"""Is the picture on many pages, or more than once on this page: a banner, a portrait, a stock photo?

Pictures are compared by the 64-bit perceptual hash (infimm_data.images.perceptual_hash), all that lie within some bits
of each other (infimm_data.hamming). Groups are transitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import LiveImages
from infimm_data.errors import ConfigError
from infimm_data.groups import group_counts
from infimm_data.hamming import BITS
from infimm_data.hash_pairs import pairs_in_memory
from infimm_data.near_groups import counts_of_groups, near_groups
from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class ImageDuplicate:
    """Drops pictures that are decoration by their number.

    distance: bits, 0..32, by which the hashes of one picture may differ. max_documents: inclusive; a picture on
    more documents is dropped from all (10: OBELICS drops image URLs seen more often, MMC4 images with more than
    10 near copies). max_repeat: inclusive; how many earlier times the picture may stand on the same page: 0 keeps
    the first only. None is off.
    """

    level: ClassVar[Level] = "image"
    compares: ClassVar[tuple[str, ...]] = ("phash",)
    distance: int = 6
    max_documents: int | None = 10
    max_repeat: int | None = 0

    def __post_init__(self) -> None:
        """Raise ConfigError on a distance at which unrelated pictures meet."""
        check_bounds(self)
        if not 0 <= self.distance <= BITS // 2:
            raise ConfigError(
                f"distance is {self.distance} bits, expected 0..{BITS // 2}: unrelated hashes differ in 32"
            )

    def group_hashes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return for each hash the smallest position that hashes within `distance` bits connect it with."""
        groups = near_groups(np.asarray(hashes, dtype=np.uint64), self.distance)
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        return np.asarray(first[inverse], dtype=np.int64)

    def similar(self, keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the pairs of distinct hashes within `distance` bits."""
        pairs = list(pairs_in_memory(keys, self.distance))
        none = np.empty(0, dtype=np.int64)
        return np.concatenate([none, *(a for a, _ in pairs)]), np.concatenate([none, *(b for _, b in pairs)])

    def counted(
        self, groups: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the two counts of `compare`."""
        shown, repeats = group_counts(groups, documents)
        return {"image_documents": shown, "image_repeat": repeats}

    def compare(self, images: LiveImages) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return `image_documents`, how many documents show the picture, and `image_repeat`, how often before here."""
        held: dict[str, Any] = {"at_once": images.at_once, "allocate": images.allocate}
        groups = near_groups(images.phash, self.distance, **held)
        documents, repeats = counts_of_groups(groups, images.document, **held)
        return {"image_documents": documents, "image_repeat": repeats}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on."""
        return (
            *within("image_documents", None, self.max_documents, above="image_too_frequent"),
            *within("image_repeat", None, self.max_repeat, above="image_repeated_in_document"),
        )
