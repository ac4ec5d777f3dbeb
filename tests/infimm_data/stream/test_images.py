"""Pixels for the vision tower."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from infimm_data.stream.images import to_pixels
from infimm_data.torchvision_ops import declare_torchvision_ops


def test_the_shape_is_channels_first_and_square():
    pixels = to_pixels(Image.new("RGB", (30, 20), (10, 20, 30)), 8)
    assert pixels.shape == (3, 8, 8)
    assert pixels.dtype == np.uint8
    assert pixels[:, 4, 4].tolist() == [10, 20, 30]


def test_the_middle_is_kept_and_the_sides_are_cut():
    image = Image.new("RGB", (30, 10), (0, 0, 0))
    image.paste((255, 255, 255), (10, 0, 20, 10))
    assert to_pixels(image, 10).min() == 255


def test_a_picture_of_the_right_size_stays_as_it_is():
    grey = np.arange(64 * 3, dtype=np.uint8).reshape(8, 8, 3)
    assert (to_pixels(Image.fromarray(grey), 8) == grey.transpose(2, 0, 1)).all()


def test_another_mode_than_rgb_is_an_error():
    with pytest.raises(ValueError, match="expected RGB"):
        to_pixels(Image.new("L", (8, 8)), 8)


def picture(width: int, height: int) -> Image.Image:
    """Smooth noise."""
    small = np.random.default_rng(width).integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def by_clip(image: Image.Image, side: int) -> np.ndarray:
    declare_torchvision_ops()
    from torchvision import transforms

    resize = transforms.Resize(side, interpolation=transforms.InterpolationMode.BICUBIC)
    return np.asarray(transforms.CenterCrop(side)(resize(image))).transpose(2, 0, 1).astype(int)


# Larger, smaller, as large; odd sides; three to one; more than the 16 MB that Pillow keeps in one block, and lends.
@pytest.mark.parametrize("size", [(40, 30), (51, 28), (20, 30), (23, 9), (32, 32), (64, 64), (12, 4), (2500, 1800)])
def test_pixels_are_those_of_clips_own_transform(size: tuple[int, int]):
    image = picture(*size)
    apart = np.abs(to_pixels(image, 32) - by_clip(image, 32))
    assert apart.max() <= 2  # of 255: torch rounds its weights to 16 bits, Pillow to 22
    assert apart.mean() < 0.02


@pytest.mark.parametrize("size", [(301, 40), (40, 298)])
def test_what_lies_beyond_three_to_one_changes_little(size: tuple[int, int]):
    image = picture(*size)
    assert np.abs(to_pixels(image, 32) - by_clip(image, 32)).mean() < 2


def test_a_line_of_pixels_needs_no_memory_beyond_the_middle():
    image = Image.new("RGB", (1, 2_000_000))  # 300 GB if all of it were resized
    image.paste((9, 8, 7), (0, 999_990, 1, 1_000_010))
    assert to_pixels(image, 224).min(axis=(1, 2)).tolist() == [9, 8, 7]


def test_pixels_are_the_same_on_every_kind_of_cpu():
    image = picture(299, 201)
    code = (
        "import sys; from PIL import Image; from infimm_data.stream.images import to_pixels\n"
        f"image = Image.frombytes('RGB', {image.size}, sys.stdin.buffer.read())\n"
        "sys.stdout.buffer.write(to_pixels(image, 64).tobytes())"
    )
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}  # torch's code without AVX
    done = subprocess.run([sys.executable, "-c", code], env=plain, input=image.tobytes(), capture_output=True)
    assert done.stdout == to_pixels(image, 64).tobytes(), done.stderr
