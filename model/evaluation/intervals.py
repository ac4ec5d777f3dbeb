"""95 % confidence intervals of scores that are means over questions: the normal approximation, nothing random in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

METHOD = "95 %: 1.96 standard errors of the mean over questions (normal approximation)"
Z = 1.959964

Interval = tuple[float, float]


def mean_interval(values: Sequence[float], *, scale: float = 1.0) -> Interval | None:
    """Return scale x (mean -+ 1.96 s / sqrt(n)); None for fewer than two values."""
    return sum_interval([values], scale=scale)


def sum_interval(groups: Sequence[Sequence[float]], *, scale: float = 1.0) -> Interval | None:
    """Return the interval of scale x the sum of the groups' means (independent); None if one has fewer than two."""
    return weighted_interval([(values, 1.0) for values in groups], scale=scale)


def weighted_interval(groups: Sequence[tuple[Sequence[float], float]], *, scale: float = 1.0) -> Interval | None:
    """Return the interval of scale x the sum of weight x mean of each (values, weight)."""
    if not groups or any(len(values) < 2 for values, _ in groups):
        return None
    centre, variance = 0.0, 0.0
    for values, weight in groups:
        mean = math.fsum(values) / len(values)
        spread = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
        centre, variance = centre + weight * mean, variance + weight**2 * spread / len(values)
    half = Z * math.sqrt(variance)
    return scale * (centre - half), scale * (centre + half)
