"""Bars of a measure's distribution: where their edges lie, so that values and thresholds can be read off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 40
LOG_FROM = 30  # largest value over median: above it a linear axis shows one bar and a tail

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """edges: one more than bars, ascending; is_log: whether they grow by a factor."""

    edges: Numbers
    is_log: bool

    def places(self, values: Numbers) -> npt.NDArray[np.int16]:
        """Return the bar of each value, those beyond the edges in the outer ones; -1 where it was not measured."""
        found = np.searchsorted(self.edges, values, side="right") - 1
        inside = np.clip(found, 0, len(self.edges) - 2).astype(np.int16)
        inside[~np.isfinite(values)] = -1
        return inside


def bars_of(values: Numbers, bounds: Sequence[float]) -> tuple[Bars, list[float]]:
    """Return the bars for some finite values (at least one), and the thresholds within reach of them.

    A threshold far beyond the values would squeeze them into one bar, and is left out. Values that are never negative
    and have a long tail get a logarithmic axis, zeros in its first bar; few whole numbers a bar each.
    """
    low, high, middle = float(values.min()), float(values.max()), float(np.median(values))
    if low >= 0 and middle > 0 and high > LOG_FROM * middle:
        start = float(values[values > 0].min())
        near = [bound for bound in bounds if start / 10 <= bound <= high * 10 and bound > 0]
        start, high = min([start, *near]), max([high, *near])
        return Bars(np.geomspace(start, high * 1.0001, BINS + 1), True), near
    span = (high - low) or max(abs(low), 1.0)
    near = [bound for bound in bounds if low - span <= bound <= high + span]
    low, high = min([low, *near]), max([high, *near])
    if high - low <= BINS and bool((values == np.round(values)).all()):
        return Bars(np.arange(np.floor(low) - 1, np.ceil(high) + 3) - 0.5, False), near
    if low == high:
        low, high = low - span / 2, high + span / 2
    return Bars(np.linspace(low, high, BINS + 1), False), near
