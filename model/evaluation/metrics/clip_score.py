"""CLIPScore and RefCLIPScore (Hessel et al. 2021): a caption against the picture, in CLIP's space."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating[Any]]
WEIGHT = 2.5  # w of the paper, section 3
CAPTION_PREFIX = "A photo depicts "
"""What the authors put before each caption and reference, section 3."""


def clip_score(images: Vectors, captions: Vectors) -> npt.NDArray[np.float64]:
    """Return 2.5 max(cos, 0) per row. images, captions: [N, D], of any length."""
    cosines: npt.NDArray[np.float64] = (_unit(images) * _unit(captions)).sum(-1)
    return WEIGHT * np.maximum(cosines, 0.0)


def ref_clip_score(images: Vectors, captions: Vectors, references: list[Vectors]) -> npt.NDArray[np.float64]:
    """Return the harmonic mean of CLIPScore and the best cosine with a reference, at least 0.

    references: per row [R, D], R >= 1.
    """
    own = clip_score(images, captions)
    unit = _unit(captions)
    best = np.array(
        [max(float((_unit(row) @ caption).max()), 0.0) for row, caption in zip(references, unit, strict=True)]
    )
    total = own + best
    found: npt.NDArray[np.float64] = np.divide(2 * own * best, total, out=np.zeros_like(total), where=total > 0)
    return found


def _unit(vectors: Vectors) -> npt.NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return found
