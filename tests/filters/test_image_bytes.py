"""Bounds on the bytes of an image file."""

from __future__ import annotations

import numpy as np

from filters.image_bytes import ImageBytes


def test_five_thousand_bytes_are_enough_and_one_less_is_not():
    (rule,) = ImageBytes().rules()
    assert rule.reason == "image_too_few_bytes"
    assert rule.passes(np.array([4_999, 5_000, 50_000_000, np.nan])).tolist() == [False, True, True, False]


def test_an_upper_bound_is_asked_when_set():
    (rule,) = ImageBytes(min_bytes=None, max_bytes=0).rules()
    assert (rule.measure, rule.reason) == ("size_bytes", "image_too_many_bytes")
