from __future__ import annotations

import random
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infimm_data.image_headers import BadImage, read_header
from infimm_data.images import decode_rgb, inspect_image, perceptual_hash

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tests are no package
from image_files import encoded, exif_with, png_chunk, png_of, scene

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
LIMIT = 1_000_000
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}


def reason(data: bytes, max_pixels: int = LIMIT) -> str:
    """The slug with which both ways to read an image refuse these bytes."""
    with pytest.raises(BadImage) as inspected:
        inspect_image(data, max_pixels=max_pixels)
    with pytest.raises(BadImage) as decoded:
        decode_rgb(data, max_pixels=max_pixels)
    assert inspected.value.reason == decoded.value.reason
    return inspected.value.reason


def distance(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@pytest.mark.parametrize("name", FORMATS)
def test_the_four_formats_are_read_by_content(name: str) -> None:
    facts = inspect_image(encoded(scene(), FORMATS[name]), max_pixels=LIMIT)
    assert (facts.format, facts.width, facts.height) == (name, 64, 48)
    assert distance(facts.phash, perceptual_hash(scene())) <= 6


def test_lossless_pixels_come_out_as_they_went_in() -> None:
    assert np.array_equal(decode_rgb(encoded(scene(), "PNG"), max_pixels=LIMIT), scene())


@pytest.mark.parametrize("webp", [{"lossless": True}, {"quality": 50}, {"exif": exif_with(1)}])
def test_every_kind_of_webp_header_gives_its_size(webp: dict[str, object]) -> None:
    facts = inspect_image(encoded(scene(33, 21), "WEBP", **webp), max_pixels=LIMIT)
    assert (facts.width, facts.height) == (33, 21)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_to_pixels_size_and_hash(name: str, orientation: int) -> None:
    stored = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's inverse transpositions
    upright = scene(96, 64)
    turned = upright if stored is None else upright.transpose(Image.Transpose(stored))
    data = encoded(turned, name, exif=exif_with(orientation), **({"quality": 95} if name != "PNG" else {}))
    facts = inspect_image(data, max_pixels=LIMIT)
    assert (facts.width, facts.height) == (96, 64)
    assert distance(facts.phash, perceptual_hash(upright)) <= 4
    seen = np.asarray(decode_rgb(data, max_pixels=LIMIT), dtype=float)
    assert np.abs(seen - np.asarray(upright, dtype=float)).mean() < 4


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12" * 40]
)
def test_damaged_exif_costs_nothing(exif: bytes) -> None:
    assert inspect_image(encoded(scene(), "JPEG", exif=exif), max_pixels=LIMIT).width == 64


def test_transparency_shows_white() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 255, 0] * 256)
    files = [
        encoded(clear, "PNG"),
        encoded(clear, "WEBP", lossless=True),
        encoded(clear.convert("LA"), "PNG"),
        encoded(palette, "PNG", transparency=bytes([0] * 256)),
        encoded(palette, "GIF", transparency=0),
    ]
    for data in files:
        assert decode_rgb(data, max_pixels=LIMIT).getcolors() == [(1600, (255, 255, 255))]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (4, 1))
    shown = np.asarray(decode_rgb(encoded(Image.fromarray(ramp), "PNG"), max_pixels=LIMIT))
    assert np.array_equal(shown[0, :, 0], np.arange(256))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    data = encoded(scene().convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    decoded = decode_rgb(data, max_pixels=LIMIT)
    assert (decoded.mode, decoded.size) == ("RGB", (64, 48))
    assert 0 <= inspect_image(data, max_pixels=LIMIT).phash < 1 << 64


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(name: str) -> None:
    frames = [scene(64, 48, seed) for seed in range(4)]
    options = {"lossless": True} if name == "WEBP" else {}
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert distance(inspect_image(data, max_pixels=LIMIT).phash, perceptual_hash(frames[0])) <= 4


@pytest.mark.parametrize("data", [b"", b"\xff", b"<html>404</html>", b"RIFF1234WAVE", bytes(100), b"P5\n5 5\n255\n"])
def test_what_is_no_image_is_called_so(data: bytes) -> None:
    assert reason(data) == "not_an_image"


@pytest.mark.parametrize("name", ["BMP", "TIFF", "ICO", "AVIF", "JPEG2000"])
def test_other_image_formats_are_called_unsupported(name: str) -> None:
    assert reason(encoded(scene(), name)) == "unsupported_format"


def test_svg_is_an_unsupported_image() -> None:
    assert reason(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>') == "unsupported_format"


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_cut_anywhere_is_truncated(name: str) -> None:
    data = encoded(scene(200, 150), FORMATS[name])
    for length in (12, 40, len(data) // 4, len(data) // 2, len(data) * 9 // 10):
        assert reason(data[: max(length, 12)]) == "image_truncated"


@pytest.mark.parametrize("name", FORMATS)
def test_the_pixel_limit_is_inclusive(name: str) -> None:
    data = encoded(scene(64, 48), FORMATS[name])
    assert inspect_image(data, max_pixels=64 * 48).width == 64
    assert reason(data, 64 * 48 - 1) == "too_many_pixels"


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    bombs = [
        png_of(60_000, 60_000, rows=bytes(1000)),
        b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2 + bytes(40),
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",  # only its frame is huge
    ]
    tracemalloc.start()
    assert [reason(bomb, 100_000_000) for bomb in bombs] == ["too_many_pixels"] * 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_metadata_never_costs_a_good_picture() -> None:
    bomb = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000)))
    broken_animation = png_chunk(b"acTL", b"\0\0\0\0\0\0\0\0")
    data = png_of(2, 2, extra=bomb + broken_animation, rows=b"\0\1\2\0\3\4")
    assert decode_rgb(data, max_pixels=LIMIT).getpixel((1, 1)) == (4, 4, 4)


def test_no_damage_escapes_as_another_error_or_a_warning() -> None:
    rng = random.Random(5)
    files = [encoded(scene(40, 30), name) for name in FORMATS.values()]
    files += [encoded(scene(40, 30), "JPEG", exif=exif_with(6), progressive=True)]
    files += [encoded(scene(40, 30).convert("P"), "PNG"), encoded(scene(40, 30), "WEBP", exif=exif_with(6))]
    outcomes = set()
    for file in files:
        for _ in range(250):
            data = bytearray(file)
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(min(len(data), rng.choice([40, len(data)])))] = rng.randrange(256)
            try:
                inspect_image(bytes(data), max_pixels=LIMIT)
                outcomes.add("ok")
            except BadImage as error:
                outcomes.add(error.reason)
    assert outcomes == {"ok", "not_an_image", "image_truncated", "too_many_pixels"}


def test_a_header_is_read_without_pillow_from_its_first_bytes() -> None:
    data = encoded(scene(640, 480), "PNG")
    assert (read_header(data[:60]).width, read_header(data[:60]).height) == (640, 480)


def test_the_hash_is_the_same_on_every_machine() -> None:
    squares = np.kron([[0, 255, 30], [90, 10, 200]], np.ones((20, 30))).astype(np.uint8)
    assert f"{perceptual_hash(Image.fromarray(squares)):016x}" == "9c49ffb6ff49ffb6"


def test_the_hash_is_that_of_the_definition() -> None:
    grey = np.asarray(scene(32, 32).convert("L"), dtype=float)
    k, x = np.arange(8)[:, None], np.arange(32)[None, :]
    basis = np.cos(np.pi * (2 * x + 1) * k / 64)
    coefficients = (basis @ grey @ basis.T).ravel()
    bits = coefficients >= np.median(coefficients[1:])
    assert perceptual_hash(scene(32, 32)) == int("".join("1" if bit else "0" for bit in bits), 2)


def test_a_picture_of_one_colour_has_one_hash() -> None:
    assert {perceptual_hash(Image.new("RGB", (50, 70), c)) for c in ("red", "white", "black")} == {2**64 - 1}


def test_copies_of_a_photo_are_near_and_other_photos_are_not() -> None:
    folder = SHARED / "dedup_images_pdq/bridge-mods"
    others = SHARED / "dedup_images_imagededup/base_images"
    if not folder.exists() or not others.exists():
        pytest.skip("shared data dedup_images_pdq and dedup_images_imagededup are not here")

    def hashes(where: Path) -> list[int]:
        return [inspect_image(path.read_bytes(), max_pixels=10**8).phash for path in sorted(where.glob("*.jpg"))]

    copies, different = hashes(folder), hashes(others)
    assert max(distance(a, b) for a in copies for b in copies) <= 6
    assert min(distance(a, b) for a in different for b in [*different, *copies] if a != b) >= 16
