"""Images in training size: the right size in every mode, upright, RGB, of equal bytes, and safe on hostile files."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infimm_data.image_headers import BadImage
from infimm_data.images import inspect_image
from infimm_data.resize import Resize, resize_image, scaled

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tests are no package
from image_files import encoded, exif_with, scene

LIMIT = 10_000_000


def stored(data: bytes, **settings: object) -> Image.Image:
    """The picture that is stored of a file, decoded again; its stated size is checked."""
    made = resize_image(data, Resize(**{"size": 32, "format": "png", **settings}), max_pixels=LIMIT)[1]
    picture = Image.open(io.BytesIO(made.data))
    picture.load()
    assert picture.size == (made.width, made.height)
    assert picture.mode == "RGB"
    assert not picture.info.get("exif")
    return picture


def mean_difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("keep_ratio", (640, 480), (43, 32)),
        ("keep_ratio", (480, 640), (32, 43)),
        ("keep_ratio_largest", (640, 480), (32, 24)),
        ("center_crop", (640, 480), (32, 32)),
        ("border", (640, 480), (32, 32)),
        ("none", (640, 480), (640, 480)),
        ("keep_ratio", (32, 100), (32, 100)),
        ("keep_ratio", (20, 30), (20, 30)),
        ("center_crop", (20, 30), (20, 20)),
        ("border", (20, 30), (32, 32)),
        ("keep_ratio_largest", (1000, 2), (32, 1)),
    ],
)
def test_every_mode_gives_its_size_and_enlarges_nothing(
    mode: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert stored(encoded(Image.new("RGB", size), "PNG"), mode=mode).size == expected


def test_sides_are_rounded_half_up() -> None:
    assert scaled(99, 66, Resize(size=33)) == (50, 33)


def test_the_middle_is_what_a_crop_keeps_and_white_what_a_border_adds() -> None:
    halves = Image.new("RGB", (64, 32), (255, 0, 0))
    halves.paste((0, 0, 255), (16, 0, 48, 32))
    assert stored(encoded(halves, "PNG"), mode="center_crop").getcolors() == [(1024, (0, 0, 255))]
    framed = stored(encoded(Image.new("RGB", (64, 32)), "PNG"), mode="border")
    assert sorted(framed.getcolors() or []) == [(512, (0, 0, 0)), (512, (255, 255, 255))]
    assert framed.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_before_the_size_is_taken(name: str, orientation: int) -> None:
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Pillow's inverse transpositions
    upright = scene(300, 200)
    turned = upright if back is None else upright.transpose(Image.Transpose(back))
    data = encoded(turned, name, exif=exif_with(orientation), **({"quality": 95} if name != "PNG" else {}))
    small = stored(data, mode="keep_ratio_largest", size=90)
    assert small.size == (90, 60)
    assert mean_difference(small, upright.resize((90, 60), Image.Resampling.HAMMING)) < 6


def test_a_reduced_decode_shows_what_a_full_one_shows() -> None:
    picture = scene(1024, 768)
    small = stored(encoded(picture, "JPEG", quality=95), size=96)
    assert small.size == (128, 96)
    assert mean_difference(small, picture.resize((128, 96), Image.Resampling.HAMMING)) < 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA", "I;16"])
def test_every_mode_becomes_rgb_of_the_same_picture(mode: str) -> None:
    picture = scene(128, 96)
    if mode == "I;16":
        grey = picture.convert("L")
        given, expected = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), grey.convert("RGB")
    else:
        given = picture.convert(mode)
        expected = given.convert("RGB")
    data = encoded(given, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 95} if mode == "CMYK" else {}))
    small = stored(data, size=96)  # as large as it is: the pixels are seen as they are
    assert mean_difference(small, expected) < 4


def test_a_transparent_palette_shows_white() -> None:
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 255, 0] * 256)
    for name in ("PNG", "GIF"):
        data = encoded(palette, name, transparency=0)
        assert stored(data).getcolors() == [(1024, (255, 255, 255))]


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_stored(name: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    options = {"lossless": True} if name == "WEBP" else {}
    data = encoded(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert stored(data).getcolors() == [(1024, (250, 0, 0))]


@pytest.mark.parametrize("format_", ["jpeg", "webp", "png"])
def test_equal_files_and_settings_give_equal_bytes(format_: str) -> None:
    data = encoded(scene(200, 100), "JPEG", quality=90)
    made = [resize_image(data, Resize(size=64, format=format_), max_pixels=LIMIT)[1].data for _ in range(2)]
    assert hashlib.sha256(made[0]).digest() == hashlib.sha256(made[1]).digest()
    assert made[0].startswith({"jpeg": b"\xff\xd8", "webp": b"RIFF", "png": b"\x89PNG"}[format_])


def test_quality_decides_the_size_of_a_file() -> None:
    data = encoded(scene(200, 100), "PNG")
    high, low = (len(resize_image(data, Resize(size=90, quality=q), max_pixels=LIMIT)[1].data) for q in (95, 30))
    assert low < high / 2


def test_the_facts_are_those_of_the_file_as_it_came() -> None:
    data = encoded(scene(400, 300), "JPEG", quality=95, exif=exif_with(6))
    facts = resize_image(data, Resize(size=64), max_pixels=LIMIT)[0]
    whole = inspect_image(data, max_pixels=LIMIT)
    assert (facts.width, facts.height, facts.format) == (whole.width, whole.height, whole.format) == (300, 400, "jpeg")
    assert ((facts.phash or 0) ^ (whole.phash or 0)).bit_count() <= 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>", "not_an_image"),
        (encoded(scene(300, 200), "JPEG")[:-400], "image_truncated"),
        (encoded(scene(), "TIFF"), "unsupported_format"),
        (encoded(Image.new("1", (9_000, 9_000)), "PNG"), "too_many_pixels"),
    ],
)
def test_what_cannot_be_stored_has_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage) as refused:
        resize_image(data, Resize(size=64), max_pixels=LIMIT)
    assert refused.value.reason == reason
