"""Frames of hostile TIFF files cost a bounded amount of time and memory."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from infimm_data.tiff import png_frames


def tiff(*sizes, **settings):
    pictures = [
        Image.fromarray(np.full((height, width, 3), 9 * n, dtype=np.uint8)) for n, (width, height) in enumerate(sizes)
    ]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "TIFF", save_all=True, append_images=pictures[1:], **settings)
    return buffer.getvalue()


def frames(data, wanted, max_pixels=10_000):
    return {
        frame: png and Image.open(io.BytesIO(png)).size
        for frame, png in png_frames(data, wanted, max_pixels=max_pixels)
    }


def test_frames_come_ascending_each_once():
    data = tiff((4, 5), (6, 7), (8, 9))
    assert list(png_frames(data, [], max_pixels=9)) == []
    assert list(frames(data, [2, 0, 2]).items()) == [(0, (4, 5)), (2, (8, 9))]


def test_a_frame_at_the_bound_is_read_and_one_above_is_not():
    assert frames(tiff((10, 10), (10, 11), (10, 10)), range(3), max_pixels=100) == {0: (10, 10), 1: b"", 2: (10, 10)}


def test_sixteen_bits_in_big_endian_keep_their_values():
    values = np.arange(0, 60_000, 1000, dtype=">u2").reshape(6, 10)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    assert buffer.getvalue().startswith(b"MM")
    ((_, png),) = png_frames(buffer.getvalue(), [0], max_pixels=100)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), values)


def test_a_chain_of_frames_that_leads_back_to_itself_ends():
    data = bytearray(tiff((4, 5)))
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, first)
    assert frames(bytes(data), [0, 1, 10**8]) == {0: (4, 5), 1: b"", 10**8: b""}


def test_a_bomb_is_not_inflated():
    data = tiff((12_000, 9_000), compression="tiff_adobe_deflate")
    assert len(data) < 1_500_000
    tracemalloc.start()
    start = time.perf_counter()
    assert frames(data, [0], max_pixels=50_000_000) == {0: b""}
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_random_damage_never_raises(compression):
    whole = tiff((20, 30), (30, 20), compression=compression)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 1 + seed):
            data[at] = int(rng.integers(256))
        assert set(frames(bytes(data[: int(rng.integers(1, len(data) + 1))]), range(3))) == {0, 1, 2}


def test_a_colour_profile_stays_behind():
    ((_, png),) = png_frames(tiff((4, 5), icc_profile=b"profile"), [0], max_pixels=100)
    assert Image.open(io.BytesIO(png)).info == {}
