"""Which of several copies stays: one graph of documents, to which each comparing step adds its links, and one rank.

A group is whatever the steps so far connect, by any of their keys: a page that is the mirror of one and the near copy
of another is in one group with both. Memory: 9 bytes per document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.links import forest
from infimm_data.rules import Mask

Rows = npt.NDArray[np.int64]


class Graph:
    """The links found so far, as the smallest row that each row is connected with.

    labels: [documents]. is_linked: whether a row was in a group of any step.
    """

    def __init__(self, size: int) -> None:
        """size: documents; none is linked yet."""
        self.labels = np.arange(size, dtype=np.int64)
        self.is_linked = np.zeros(size, dtype=np.bool_)
        self._earlier: dict[int, Any] = {}  # a row that has a twin in an earlier dataset -> the id of that twin

    def join(self, groups: npt.NDArray[np.int64], earlier: tuple[Rows, Sequence[Any]] | None = None) -> None:
        """Add the links of a step.

        groups: equal numbers are linked, -1 is alone. earlier: rows with a twin in an earlier dataset, and its id.
        """
        rows = np.flatnonzero(groups >= 0)
        _, first, member = np.unique(groups[rows], return_index=True, return_inverse=True)
        roots, members = forest(self.labels[rows[first[member]]], self.labels[rows])
        follow = np.arange(len(self.labels), dtype=np.int64)
        follow[members] = roots
        self.labels = follow[self.labels]
        self.is_linked[rows] = True
        if earlier is not None:
            known, twins = earlier
            self._earlier = dict(zip(known.tolist(), twins, strict=True)) | self._earlier
            self.is_linked[known] = True

    def losers(self, candidates: Mask, rank: Sequence[npt.NDArray[Any]]) -> tuple[Rows, Rows]:
        """Return the rows that lose, ascending, and for each the row that wins its group.

        candidates: rows that are still kept. rank: numbers per row, the most important first; higher is better, NaN
        is worst. Of equals the first row wins.
        """
        rows = np.flatnonzero(candidates & self.is_linked)
        keys = [-np.nan_to_num(values[rows].astype(np.float64), nan=-np.inf) for values in reversed(rank)]
        order = rows[np.lexsort((rows, *keys))]
        _, best, member = np.unique(self.labels[order], return_index=True, return_inverse=True)
        winners = np.empty(len(self.labels), dtype=np.int64)
        winners[order] = order[best[member]]
        lost = rows[winners[rows] != rows]
        return lost, winners[lost]

    def known_earlier(self, candidates: Mask) -> tuple[Rows, list[Any]]:
        """Return the rows that are connected with a document of an earlier dataset, ascending, and its id."""
        if not self._earlier:
            return np.empty(0, dtype=np.int64), []
        twins: dict[int, Any] = {}
        for row in sorted(self._earlier):
            twins.setdefault(int(self.labels[row]), self._earlier[row])
        rows = np.flatnonzero(candidates & np.isin(self.labels, np.fromiter(twins, dtype=np.int64)))
        return rows, [twins[label] for label in self.labels[rows].tolist()]
