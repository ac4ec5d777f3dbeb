"""What an image file says about itself before any pixel is decoded: format, size in pixels, orientation.

Read by hand, since Pillow allocates, warns and parses metadata while it opens a file, and files out of the web
are hostile. The decoder is then given only what shapes pixels: metadata (EXIF, text, colour profiles, animation
control) is cut out of JPEG and PNG, so a broken or blown-up comment never costs a good picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])  # JPEG markers without a length (ITU T.81, table B.1)
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # all that changes pixels (PNG, section 11)
_ORIENTATION = 0x0112  # EXIF 2.3, table 4
_KNOWN_OTHERS = (b"BM", b"II*\0", b"MM\0*", b"8BPS", b"\0\0\1\0", b"\xff\x0a", b"\0\0\0\x0cjP", b"\0\0\0\x0cJXL")


class BadImage(ValueError):  # noqa: N818 -- an outcome with a reason slug, counted by the fetch pass
    """An image file that cannot be used; `reason` is the slug that the funnel counts.

    `not_an_image`: no image signature; `unsupported_format`: an image, but none of JPEG, PNG, WebP, GIF;
    `image_truncated`: it ends early or its data are damaged; `too_many_pixels`: above the caller's limit.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the slug beside the message `reason: detail`."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """format: "jpeg", "png", "webp" or "gif"; width, height: pixels as stored, before `orientation` (1..8) is
    applied; data: the file; kept: where in it that lies which is no metadata, (start, end) in order.
    """

    format: str
    width: int
    height: int
    orientation: int
    data: bytes = field(repr=False)
    kept: tuple[tuple[int, int], ...]

    @property
    def pixel_data(self) -> bytes:
        """Return the file without its metadata, for the decoder; a copy, which who reads the header alone is spared."""
        return b"".join([self.data[start:end] for start, end in self.kept])

    @property
    def is_turned(self) -> bool:
        """Return whether the orientation swaps width and height."""
        return self.orientation >= 5

    @property
    def shown(self) -> tuple[int, int]:
        """Return width and height in pixels as the picture is shown, orientation applied."""
        return (self.height, self.width) if self.is_turned else (self.width, self.height)


def read_header(data: bytes) -> Header:
    """Return what the file says before decoding; raises BadImage when it is none of the four formats."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return Header("gif", *_gif_size(data), 1, data, _whole(data))
    except (struct.error, IndexError):
        raise BadImage("image_truncated", f"its {len(data)} bytes end inside the header") from None
    if data.startswith(_KNOWN_OTHERS) or data[4:8] == b"ftyp" or b"<svg" in data[:1024].lower():
        raise BadImage("unsupported_format", "an image, but none of JPEG, PNG, WebP, GIF")
    raise BadImage("not_an_image", f"it starts with {data[:8]!r}")


def _jpeg(data: bytes) -> Header:
    size, orientation, kept, at = None, 1, [(0, 2)], 2
    while True:
        if data[at] != 0xFF:
            raise BadImage("image_truncated", f"no JPEG marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:  # fill bytes, restart markers
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):  # start of scan, end of image: the header is over
            break
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : end]
        if marker in _START_OF_FRAME and size is None:
            height, width = struct.unpack_from(">HH", body, 1)
            size = (width, height)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
        if not (marker == 0xE1 or marker == 0xE2):  # APP1 EXIF and XMP, APP2 colour profile and MPO index
            kept.append((at, end))
        at = end
    if size is None:
        raise BadImage("image_truncated", "a JPEG without a frame header")
    return Header("jpeg", *_checked(*size), orientation, data, (*kept, (at, len(data))))


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, kept = 1, [(0, 8)]
    for start, end in _png_chunks(data):
        kind = data[start + 4 : start + 8]
        if kind == b"eXIf":
            orientation = _orientation(data[start + 8 : end - 4])
        if kind in _PNG_PIXEL_CHUNKS:
            kept.append((start, end))
    return Header("png", *_checked(width, height), orientation, data, tuple(kept))


def _png_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int(struct.unpack_from(">I", data, at)[0])
        yield at, end
        at = end


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":  # https://developers.google.com/speed/webp/docs/riff_container
        width, height = (1 + int.from_bytes(_exactly(data, at, 3), "little") for at in (24, 27))
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    orientation, at = 1, 12
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        if data[at : at + 4] == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + (length & 1)
    return Header("webp", *_checked(width, height), orientation, data, _whole(data))


def _whole(data: bytes) -> tuple[tuple[int, int], ...]:
    return ((0, len(data)),)


def _gif_size(data: bytes) -> tuple[int, int]:
    """Return the size Pillow decodes: the logical screen, widened by a first frame that reaches beyond it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while data[at] == 0x21:  # extensions before the first frame
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at] != 0x2C:
        raise BadImage("image_truncated", "a GIF without a frame")
    left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
    return _checked(max(width, left + wide), max(height, top + high))


def _orientation(exif: bytes) -> int:
    """Return the EXIF orientation 1..8; 1 (upright) where the block holds none or is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    first = struct.unpack_from(order + "I", exif, 4)[0]
    if first + 2 > len(exif):
        return 1
    count = struct.unpack_from(order + "H", exif, first)[0]
    for at in range(first + 2, min(first + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, at)
        if tag == _ORIENTATION and kind == 3:  # 3 = SHORT
            return int(value) if 1 <= value <= 8 else 1
    return 1


def _exactly(data: bytes, at: int, length: int) -> bytes:
    found = data[at : at + length]
    if len(found) < length:
        raise IndexError
    return found


def _checked(width: int, height: int) -> tuple[int, int]:
    if width == 0 or height == 0:
        raise BadImage("image_truncated", f"its header says {width} x {height} pixels")
    return width, height
