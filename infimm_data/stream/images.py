"""Pictures into the pixels that a vision tower takes.

What CLIP's own transform does (open_clip on Pillow: resize, then crop), with RGB before the resize instead of after it,
and by torch's vectorised integer resize instead of Pillow's: at most 2 of 255 levels off, in .4 % of the values, the
same bytes on every kind of CPU. Measured on one core, a JPEG of 400 x 400 to 224: .6 ms to decode, .4 to resize
(Pillow: 1.5).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

Pixels = npt.NDArray[np.uint8]

_MAX_ASPECT = 3
"""Long side over short side. What a picture has beyond it is far outside the crop, and is cut before the resize: a line
of 1 x 60,000 pixels would need 9 GB. Moves such a picture by less than one of its pixels."""


def to_pixels(image: Image.Image, side: int) -> Pixels:
    """Return an RGB picture as [3, side, side] uint8: shortest side resized to `side`, bicubic, centre-cropped.

    Sizes are rounded as torchvision's Resize and CenterCrop round them (INFIMM.md 2.1). Values are normalised on the
    device, in the model. Raises ValueError for another mode than RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"image mode {image.mode}: expected RGB")
    found = _bounded(_memory(image))
    height, width = found.shape[:2]
    short = min(height, width)
    size = [int(side * height / short), int(side * width / short)]
    channels_first = found.permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(channels_first, size, mode="bicubic", antialias=True)[0, :3]
    top, left = (round((length - side) / 2) for length in size)
    return resized[:, top : top + side, left : left + side].contiguous().numpy()


def _bounded(pixels: Tensor) -> Tensor:
    """Return [height, width, C] pixels without what is beyond `_MAX_ASPECT`: as much on either side."""
    longest = _MAX_ASPECT * min(pixels.shape[:2])
    top, left = (max(0, length - longest) // 2 for length in pixels.shape[:2])
    return pixels[top : pixels.shape[0] - top, left : pixels.shape[1] - left]


def _memory(image: Image.Image) -> Tensor:
    """Return the [height, width, 4] bytes of an RGB picture: Pillow's own memory, whose fourth channel means nothing.

    A picture above 16 MB lies in several blocks, which Pillow does not lend: copied, [height, width, 3].
    """
    try:
        lent = pa.array(image).values
    except ValueError:
        return torch.from_numpy(np.array(image))
    return torch.utils.dlpack.from_dlpack(lent).view(image.height, image.width, 4)
