from __future__ import annotations

import numpy as np

from filters.image_count import ImageCount


def test_one_to_thirty_images_stay() -> None:
    counts = np.array([0, 1, 30, 31])
    few, many = ImageCount().rules()
    assert (few.passes(counts) & many.passes(counts)).tolist() == [False, True, True, False]


def test_each_side_has_its_reason() -> None:
    assert [rule.reason for rule in ImageCount().rules()] == ["too_few_images", "too_many_images"]


def test_no_least_count_lets_pure_text_through() -> None:
    (rule,) = ImageCount(min_images=0, max_images=None).rules()
    assert rule.passes(np.array([0])).tolist() == [True]
