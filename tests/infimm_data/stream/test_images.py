"""Pixels for the vision tower."""

import numpy as np
import pytest
from PIL import Image

from infimm_data.stream.images import to_pixels


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
