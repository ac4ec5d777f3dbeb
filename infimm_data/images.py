"""Image files from the web into facts and pixels: size, format, perceptual hash, and an upright RGB picture.

Safe on hostile bytes: the size is read from the header and checked before anything is allocated, one frame is
decoded of an animation, and every failure is a `BadImage` with a reason slug. Measured on one core with 512 px
JPEGs: `inspect_image` costs about a third of a full decode, as JPEGs are decoded at reduced scale.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from infimm_data.image_headers import BadImage, Header, read_header

HASH_SIDE = 32  # pixels of the grey thumbnail whose DCT is hashed (pHash: Zauner 2010, section 3.2.1)
_DRAFT_SIDE = 64  # JPEGs are decoded at the smallest scale that still has this short side: 2 x HASH_SIDE
_FREQUENCIES = 8  # 8 x 8 lowest frequencies give 64 bits
_SCALE = 1 << 12  # of the integer cosine table; 32*32*255*2**24 stays far below 2**63

_PLUGINS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
}
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}  # EXIF 2.3, tag 0x0112: what turns the stored picture upright

# What Pillow's decoders were seen to raise on damaged files: it documents OSError only.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
                  AttributeError, struct.error, MemoryError, Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """width, height: pixels, EXIF orientation applied; format: "jpeg", "png", "webp" or "gif"; phash: 64 bits,
    None where the pixels were not looked at.
    """

    width: int
    height: int
    format: str
    phash: int | None


def inspect_image(data: bytes, *, max_pixels: int) -> ImageFacts:
    """Return size, format and perceptual hash of an image file; its whole data are decoded once, so it is good.

    max_pixels: inclusive bound on width x height, checked on the header before decoding. Raises BadImage.
    The hash is taken from a reduced decode of JPEGs: within a few bits of the hash of the full picture.
    """
    header = _header(data, max_pixels)
    image = _decode(header, max_pixels, draft=("L", (_DRAFT_SIDE, _DRAFT_SIDE)))
    width, height = header.shown
    thumbnail = _upright(_grey_thumbnail(image), header.orientation)
    return ImageFacts(width=width, height=height, format=header.format, phash=perceptual_hash(thumbnail))


def decode_rgb(data: bytes, *, max_pixels: int, enough_side: int | None = None) -> Image.Image:
    """Return the picture as RGB, EXIF orientation applied, transparency on white, 16 bits reduced to 8.

    Of an animation the first frame. max_pixels: inclusive bound on width x height. enough_side: pixels; a JPEG may
    be decoded at 1/2, 1/4 or 1/8 as long as both sides keep so many (12 megapixels to 672: 16 ms instead of 92).
    Raises BadImage.
    """
    header = _header(data, max_pixels)
    draft = None if enough_side is None else (None, (enough_side, enough_side))
    return _shown(_decode(header, max_pixels, draft=draft), header)


def inspect_header(data: bytes, *, max_pixels: int) -> ImageFacts:
    """Return what an image file says of itself, its pixels not decoded: it may be damaged, and the hash is None.

    max_pixels: as `inspect_image`. Raises BadImage.
    """
    header = _header(data, max_pixels)
    width, height = header.shown
    return ImageFacts(width=width, height=height, format=header.format, phash=None)


def decode_reduced(
    data: bytes, wanted: Callable[[int, int], tuple[int, int]], *, max_pixels: int
) -> tuple[Header, Image.Image]:
    """Return the header and the upright RGB picture, of a JPEG at the smallest scale that covers what is wanted.

    wanted: answers the size needed in pixels for the size as shown; max_pixels, raises: as `decode_rgb`.
    """
    header = _header(data, max_pixels)
    side = wanted(*header.shown)
    image = _decode(header, max_pixels, draft=(None, side[::-1] if header.is_turned else side))
    return header, _shown(image, header)


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64-bit DCT hash (pHash): near copies of a picture differ in few bits (Hamming distance).

    Grey, 32 x 32 by area, two-dimensional DCT-II, the 8 x 8 lowest frequencies; a bit is 1 where the coefficient
    is at least the median of the 63 that are not the mean (as imagededup takes it), first frequency first, most
    significant bit first. The DCT is computed in integers, so the hash is the same on every machine. Hashes of
    other libraries are not comparable. A picture of one colour hashes to 2**64 - 1.
    """
    pixels = np.asarray(_grey_thumbnail(image), dtype=np.int64)
    basis = _cosines()
    coefficients = (basis @ pixels @ basis.T).ravel()
    bits = coefficients >= np.partition(coefficients[1:], 31)[31]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@functools.lru_cache(maxsize=1)
def _cosines() -> npt.NDArray[np.int64]:
    table = [
        [round(_SCALE * math.cos(math.pi * (2 * x + 1) * k / (2 * HASH_SIDE))) for x in range(HASH_SIDE)]
        for k in range(_FREQUENCIES)
    ]
    return np.array(table, dtype=np.int64)


def _grey_thumbnail(image: Image.Image) -> Image.Image:
    grey = _opaque(image).convert("L")
    side = (HASH_SIDE, HASH_SIDE)
    return grey if grey.size == side else grey.resize(side, Image.Resampling.BOX)


def _header(data: bytes, max_pixels: int) -> Header:
    header = read_header(data)
    if header.width * header.height > max_pixels:
        raise BadImage("too_many_pixels", f"{header.width} x {header.height}, at most {max_pixels} are allowed")
    return header


def _decode(header: Header, max_pixels: int, *, draft: tuple[str | None, tuple[int, int]] | None = None) -> Image.Image:
    """Decode one frame; draft: mode and least size in pixels at which a JPEG is decoded."""
    try:
        # The plugin itself, not Image.open: that warns by Pillow's own pixel limit, which is not the caller's.
        image = _PLUGINS[header.format](BytesIO(header.pixel_data))
        if image.width * image.height > max_pixels:
            raise BadImage("too_many_pixels", f"{image.width} x {image.height} inside a file that declares less")
        if draft is not None:
            image.draft(*draft)
        image.load()
    except BadImage:
        raise
    except DECODE_ERRORS as error:
        raise BadImage("image_truncated", f"it ends early or is damaged ({error})") from None
    return image


def _shown(image: Image.Image, header: Header) -> Image.Image:
    """Return the picture as RGB and upright; itself where it is (convert would copy it)."""
    picture = _opaque(image)
    return _upright(picture if picture.mode == "RGB" else picture.convert("RGB"), header.orientation)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    for turn in _TURNS.get(orientation, ()):
        image = image.transpose(turn)
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """Return the picture without transparency (white shows through) and with 8 bits per channel."""
    if image.mode.startswith("I"):  # 16-bit grey PNG; convert() would clip instead of scale
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image
