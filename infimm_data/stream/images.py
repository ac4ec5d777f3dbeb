"""Pictures into the pixels that a vision tower takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def to_pixels(image: Image.Image, side: int) -> Pixels:
    """Return an RGB picture as [3, side, side] uint8: shortest side resized to `side`, bicubic, centre-cropped.

    What CLIP's own transform does (INFIMM.md 2.1), with RGB before the resize instead of after it. Resize and
    crop are one step: only the pixels that stay are computed. Values are normalised on the device, in the model.
    """
    if image.mode != "RGB":
        raise ValueError(f"image mode {image.mode}: expected RGB")
    square = min(image.size)
    left, top = (image.width - square) / 2, (image.height - square) / 2
    box = (left, top, left + square, top + square)
    resized = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))
