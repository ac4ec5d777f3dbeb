"""Does another image show nearly the same thing, as a model sees it? SemDeDup (Abbas et al. 2023) on embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infimm_data.errors import ConfigError
from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class SemanticDuplicate:
    """Drops images whose embedding is too near to one that stays (Abbas et al. 2023, section 3, algorithm A7).

    Embeddings are cut into clusters by spherical k-means; in a cluster images stand in the order of their similarity to
    its centre, the farthest first, and each is compared with those before it. embeddings_of: the step before this one
    that stores an `embedding` of every image. max_similarity: inclusive, the largest cosine with one before it (1 - the
    paper's epsilon); None is off. clusters: how many; None: one for 2,000 images (the paper: 50,000 for 440 million).
    iterations, seed: of k-means. Near images on two sides of a border between clusters are not found.
    """

    level: ClassVar[Level] = "image"
    embeddings_of: str = "clip_score"
    max_similarity: float | None = 0.95
    clusters: int | None = None
    iterations: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError on numbers that cut nothing."""
        check_bounds(self)
        if self.clusters is not None and self.clusters < 1:
            raise ConfigError(f"clusters is {self.clusters}, expected 1 or more, or null for one in 2,000 images")
        if self.iterations < 1:
            raise ConfigError(f"iterations is {self.iterations}, expected 1 or more")

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound where it is on; an image without an embedding is compared with none, and stays."""
        return within("semantic_similarity", None, self.max_similarity, above="semantic_duplicate", or_unknown=True)
