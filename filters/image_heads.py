"""What do small networks over an image's CLIP vector say of it: unsafe, watermarked, beautiful, whatever was trained?

The vectors are those that `clip_score` or `clip_assignment` stored (`embeddings: image`), so a head costs no look at
a picture: on one core 45,000 images a second with LAION's NSFW detector over L-14, 22,000 with its aesthetic predictor.
Heads are files: LAION's published ones, or one's own from `python -m filters.weights.train_head`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from filters.models.heads import Head, load_head
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.rules import AtLeast, AtMost, Level, Rule

_SLUG = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class ImageHeads:
    """heads: file of each head by a name of one's own, {nsfw: clip_ViT-L-14_openai_binary_nsfw_head.pth}.

    keep_at_most, keep_at_least: inclusive bounds by that name. embeddings_of: the step before it that stores the
    vectors. Stored per image: head_NAME, a probability (NSFW) or a value (aesthetics, about 1 to 10). Changed bounds
    ask no head again. An image that could not be decoded has no value and passes no bound.

    MMC4 drops images above .1 of NSFW (Zhu et al. 2023, section 3); LAION-Aesthetics are those from 4.5, 5 or 6 on.
    Watermarks: what LAION published looks at pixels (EfficientNet-B3), not at CLIP's vectors; train a head of one's
    own, or read what a dump brings with `stored_score` (pwatermark, watermark_score).
    """

    level: ClassVar[Level] = "image"
    heads: Mapping[str, str] = field(default_factory=dict)
    embeddings_of: str = "clip_score"
    keep_at_most: Mapping[str, float] = field(default_factory=dict)
    keep_at_least: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError on names that are no slugs, bounds of no head, and bounds that nothing can meet."""
        for name in self.heads:
            if not _SLUG.fullmatch(name):
                raise ConfigError(f"heads: '{name}' is no name; expected lower-case letters, digits and _, like nsfw")
        for name, bound in (*self.keep_at_most.items(), *self.keep_at_least.items()):
            if name not in self.heads:
                raise ConfigError(f"no head is called '{name}'.{did_you_mean(name, self.heads)} Name it under heads.")
            if math.isnan(bound):
                raise ConfigError(f"the bound of '{name}' is not a number; write a number, or leave it out")
            if self.keep_at_least.get(name, -math.inf) > self.keep_at_most.get(name, math.inf):
                raise ConfigError(f"keep_at_least of '{name}' is above its keep_at_most: nothing could pass; swap them")

    def rules(self) -> tuple[Rule, ...]:
        """Return a rule per bound, upper bounds first, in the order in which they are written."""
        return (
            *(AtMost(_measure(name), bound, f"{name}_high") for name, bound in self.keep_at_most.items()),
            *(AtLeast(_measure(name), bound, f"{name}_low") for name, bound in self.keep_at_least.items()),
        )

    def load_heads(self, clip: str) -> LoadedHeads:
        """Load the heads; clip: whose vectors they will read, as `filters.models.clip.clip_name` says it.

        Raises ConfigError when a file is no head, or a head belongs to another CLIP.
        """
        loaded = {name: load_head(path) for name, path in self.heads.items()}
        for name, head in loaded.items():
            if head.clip and clip and head.clip != clip:
                raise ConfigError(
                    f"{self.heads[name]}: a head over vectors of {head.clip}, but {self.embeddings_of} stores those "
                    f"of {clip}; take the model of the head there, or train a head over these vectors"
                )
        return LoadedHeads(loaded)


@dataclass(frozen=True)
class LoadedHeads:
    """Heads by name, ready to ask; plain numbers, so they travel to a worker."""

    heads: Mapping[str, Head]

    @property
    def digests(self) -> dict[str, str]:
        """What the values depend on: sha256 of each head's file."""
        return {name: head.digest for name, head in self.heads.items()}

    def score(self, vectors_ND: npt.NDArray[np.float16]) -> dict[str, npt.NDArray[np.float64]]:
        """Return `head_NAME` of each vector, [N]; raises ConfigError when a head reads vectors of another length."""
        for name, head in self.heads.items():
            if head.width != vectors_ND.shape[1]:
                raise ConfigError(
                    f"head {name} reads vectors of {head.width} numbers, the stored ones have {vectors_ND.shape[1]}"
                )
        # float16 is not quite of length 1 any more.
        lengths = np.linalg.norm(vectors_ND.astype(np.float64), axis=1, keepdims=True)
        unit_ND: npt.NDArray[Any] = vectors_ND / np.where(lengths > 0, lengths, 1.0)
        return {_measure(name): head(unit_ND) for name, head in self.heads.items()}


def _measure(name: str) -> str:
    return f"head_{name}"
