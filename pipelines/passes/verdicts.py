"""Verdicts: for every document and image whether it is kept, or which line of the funnel dropped it.

Memory: two bytes per row. On what value a row was dropped is read again where it is asked (`pipelines.passes.values`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    line: KEPT, WITH_DOCUMENT, or the position in `funnel`, which grows, of the rule that dropped the row.
    """

    line: npt.NDArray[np.int16]
    funnel: Sequence[StepCount]

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

    def rows_of(self, line: int) -> Rows:
        """Return the rows that a rule dropped, ascending."""
        return np.flatnonzero(self.line == line)

    def part(self, start: int, stop: int) -> Verdicts:
        """Return the verdicts of rows start..stop."""
        return Verdicts(self.line[start:stop], self.funnel)

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
