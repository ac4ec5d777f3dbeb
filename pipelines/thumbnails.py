"""Pictures of a dataset to look at: small, decoded within bounds and encoded anew: none of their bytes is shown."""

from __future__ import annotations

import base64
import io

from PIL import Image

from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb

MAX_PIXELS = 50_000_000  # of a picture that is decoded for looking at: 150 MB as RGB
QUALITY = 72  # of the JPEG: about 4 KB at 160 pixels


def thumbnail(data: bytes, side: int) -> bytes | None:
    """Return a JPEG whose longer side is at most `side` pixels; None where the bytes are no picture that we decode."""
    try:
        picture = decode_rgb(data, max_pixels=MAX_PIXELS)
    except BadImage:
        return None
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as a `data:` URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
