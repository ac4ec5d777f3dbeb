from __future__ import annotations

import pytest

from filters.image_size import ImageSize


def reasons(width: int, height: int) -> list[str]:
    """Why the default filter drops a picture of this size."""
    short, long = sorted((width, height))
    measured = {"width": width, "height": height, "short_side": short, "aspect": long / short}
    return [rule.reason for rule in ImageSize().rules() if not rule.passes([measured[rule.measure]])[0]]


@pytest.mark.parametrize("size", [(150, 150), (300, 150), (150, 300), (20_000, 10_000), (10_000, 20_000)])
def test_sizes_at_the_bounds_stay_portrait_as_landscape(size: tuple[int, int]) -> None:
    assert reasons(*size) == []


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((149, 200), "image_too_small"),
        ((301, 150), "image_too_elongated"),
        ((150, 301), "image_too_elongated"),
        ((20_001, 20_000), "image_too_wide"),
        ((20_000, 20_001), "image_too_high"),
    ],
)
def test_sizes_beyond_a_bound_are_dropped_for_that_reason(size: tuple[int, int], reason: str) -> None:
    assert reasons(*size) == [reason]
