"""Is the image one of a benchmark's, or a near copy of one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from infimm_data.benchmarks import check_index, load_index
from infimm_data.comparing import LiveImages
from infimm_data.errors import ConfigError
from infimm_data.hamming import BITS
from infimm_data.rules import AtLeast, Level, Rule, check_bounds


@dataclass(frozen=True, kw_only=True)
class BenchmarkImage:
    """Drops images that benchmarks show: the same file (sha256), or a perceptual hash that is nearly the same.

    index: a file that `infimm benchmark-index` made. within: bits, 0..32, up to which near images are looked for and
    counted. min_distance: inclusive, bits that an image must be away from all of them (5: MMC4 takes 5 bits for near
    duplicates; COYO asks for equality); None only counts, and the report says how many images each benchmark has.
    """

    level: ClassVar[Level] = "image"
    compares: ClassVar[tuple[str, ...]] = ("phash", "sha256")
    file_settings: ClassVar[tuple[str, ...]] = ("index",)
    index: str
    within: int = 10
    min_distance: int | None = 5

    def __post_init__(self) -> None:
        """Raise ConfigError on bits at which unrelated pictures meet."""
        check_bounds(self)
        if not 0 <= self.within <= BITS // 2:
            raise ConfigError(f"within is {self.within} bits, expected 0..{BITS // 2}: unrelated hashes differ in 32")
        if self.min_distance is not None and self.min_distance > self.within + 1:
            raise ConfigError(
                f"min_distance is {self.min_distance}, but only images within {self.within} bits are found"
            )

    def check_files(self) -> None:
        """Raise ConfigError where there is no index."""
        check_index(self.index)

    def compare(self, images: LiveImages) -> Mapping[str, npt.NDArray[Any]]:
        """Return `benchmark_image_distance`, bits (NaN: none within), and `benchmark_image`, the names or None."""
        distance, names = load_index(self.index).in_images(images.phash, images.sha256.tolist(), self.within)
        owners = np.empty(len(names), dtype=object)
        owners[:] = names
        return {"benchmark_image_distance": distance, "benchmark_image": owners}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound where it is on; an image near none passes."""
        if self.min_distance is None:
            return ()
        return (AtLeast("benchmark_image_distance", self.min_distance, "benchmark_image", or_unknown=True),)
