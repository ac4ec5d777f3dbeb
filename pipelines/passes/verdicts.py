"""Verdicts: for every document and image whether it is kept, or which line of the funnel dropped it, and on what value.

Memory: two bytes per row, and 16 more for each dropped one (tens of millions of rows fit a laptop).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.rules import Level, Mask

KEPT, WITH_DOCUMENT = -1, -2
"""Instead of a line of the funnel: kept; an image dropped with its document."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepCount:
    """One line of the funnel: what came in to a rule and what it dropped."""

    step: str
    level: Level
    reason: str
    measure: str
    threshold: str
    came_in: int
    dropped: int


@dataclass
class Verdicts:
    """One verdict per row.

    line: KEPT, WITH_DOCUMENT, or the position in `funnel` of the rule that dropped the row. drops: for each such
    rule the dropped rows, ascending, and what was measured on them.
    """

    line: npt.NDArray[np.int16]
    funnel: Sequence[StepCount]
    drops: dict[int, tuple[Rows, npt.NDArray[Any]]] = field(default_factory=dict)

    @classmethod
    def all_kept(cls, size: int, funnel: Sequence[StepCount]) -> Verdicts:
        """Return verdicts before the first step; funnel: the list that grows as rules are asked."""
        return cls(np.full(size, KEPT, dtype=np.int16), funnel)

    @property
    def kept(self) -> Mask:
        """Whether each row is kept."""
        kept: Mask = self.line == KEPT
        return kept

    @property
    def step(self) -> npt.NDArray[Any]:
        """The step that dropped each row, "" where it is kept; "document" where an image went with its document."""
        return self._named([line.step for line in self.funnel], "document")

    @property
    def reason(self) -> npt.NDArray[Any]:
        """Why each row was dropped, "" where it is kept."""
        return self._named([line.reason for line in self.funnel], "document_dropped")

    @property
    def threshold(self) -> npt.NDArray[Any]:
        """What each dropped row was compared with, "" where there is nothing."""
        return self._named([line.threshold for line in self.funnel], "")

    def drop(self, line: int, rows: Mask, values: npt.NDArray[Any]) -> None:
        """Drop rows that are still kept, by the rule at `line`; values: one per dropped row."""
        self.line[rows] = line
        self.drops[line] = np.flatnonzero(rows), values

    def drop_with_document(self, rows: Mask) -> None:
        """Drop images whose document was dropped."""
        self.line[rows] = WITH_DOCUMENT

    def shown_values(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return what the rule measured on rows start..stop, as texts (six digits of a number); "" where kept."""
        stop = len(self.line) if stop is None else stop
        found = [""] * (stop - start)
        for rows, values in self.drops.values():
            first, last = np.searchsorted(rows, [start, stop])
            for row, value in zip(rows[first:last].tolist(), values[first:last].tolist(), strict=True):
                found[row - start] = shown(value)
        return found

    def _named(self, names: list[str], with_document: str) -> npt.NDArray[Any]:
        """Return a name for each row; the two negative codes count from the end of the list of names."""
        return np.array([*names, with_document, ""], dtype=object)[self.line]


def shown(value: Any) -> str:
    """Return a measured value or a bound as text: six digits of a number, "not measured" for None and NaN."""
    if value is None or value != value:  # NaN alone differs from itself
        return "not measured"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
