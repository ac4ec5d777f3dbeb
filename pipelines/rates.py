"""What a pass has dropped so far, for its progress line: shares by reason, from what its finished tasks returned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.rules import BestFraction, FirstOfGroup, GroupAtMost, Level
from pipelines.recipe import Step

IN = "in"
"""The key under which counts hold how many came in; every other one is a reason and what it dropped."""

NAMED = 2  # reasons in a line

Counts = Mapping[str, int]
Counted = Callable[[Any], Counts]
"""What a task returned, as counts."""


class Rates:
    """Sums counts and says them."""

    def __init__(self) -> None:
        """Nothing came in yet."""
        self._sums: Counter[str] = Counter()

    def add(self, counts: Counts) -> None:
        """Add what one task counted."""
        self._sums.update(counts)

    def line(self) -> str:
        """Return e.g. "12,000 in, 31.0 % dropped (language_unwanted 25.0 %, too_few_words 6.0 %)"; "" before any."""
        came_in = self._sums[IN]
        if not came_in:
            return ""
        drops = {reason: number for reason, number in self._sums.items() if reason != IN and number}
        most = sorted(drops.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMED]
        named = f" ({', '.join(f'{reason} {_share(number, came_in)}' for reason, number in most)})" if most else ""
        return f"{came_in:,} in, {_share(sum(drops.values()), came_in)} dropped{named}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def would_drop(steps: Sequence[Step], level: Level, table: pa.Table) -> dict[str, int]:
    """Return how many rows came in and what the steps' rules on the measures of a table would drop, in their order.

    An estimate for a progress line: rules that compare rows with each other, or need what is measured later, are not
    asked.
    """
    live = np.ones(table.num_rows, dtype=bool)
    counts = {IN: table.num_rows}
    rules = [rule for step in steps if step.filter.level == level for rule in step.filter.rules()]
    for rule in rules:
        if isinstance(rule, BestFraction | FirstOfGroup | GroupAtMost) or rule.measure not in table.column_names:
            continue
        column = table.column(rule.measure)
        is_text = pa.types.is_string(column.type)
        values = np.array(column.to_pylist(), dtype=object) if is_text else pc.cast(column, pa.float64()).to_numpy()
        failing = live & ~rule.passes(values)
        counts[rule.reason] = counts.get(rule.reason, 0) + int(failing.sum())
        live &= ~failing
    return counts
