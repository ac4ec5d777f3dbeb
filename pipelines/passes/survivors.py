"""Which of several copies stays: one graph of documents, to which each comparing step adds its links, and one rank.

A group is whatever the steps so far connect, by any of their keys: a page that is the mirror of one and the near copy
of another is in one group with both. Documents come a batch at a time, in the order of the dump. Memory: 9 bytes per
document, 10 with an earlier dataset; while a step chooses, 16 more and 8 for each name in the rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.links import forest
from pipelines.scratch import Scratch

Rows = npt.NDArray[np.int64]

ROWS_AT_ONCE = 1 << 20


def stretches(size: int) -> Iterator[slice]:
    """Yield 0..size in stretches, so that what is made on the way is small beside the whole."""
    return (slice(start, min(size, start + ROWS_AT_ONCE)) for start in range(0, size, ROWS_AT_ONCE))


@dataclass(frozen=True)
class Links:
    """What a step says of consecutive documents.

    groups: equal numbers are linked, -1 is alone; numbers hold over all batches, and are small. known: rows of the
    batch that have a twin in an earlier dataset.
    """

    groups: npt.NDArray[np.int64]
    known: Rows | None = None


class Graph:
    """The links found so far, as the smallest row that each row is connected with.

    labels: [documents]. is_linked: whether a row was in a group of any step. known_by: which step, counted from 1,
    was the first that found a twin of the row in an earlier dataset, 0: none; None before the first such step. steps:
    the names that the steps gave themselves.
    """

    def __init__(self, size: int, scratch: Scratch | None = None) -> None:
        """size: documents; none is linked yet."""
        self._scratch = scratch or Scratch(1 << 62)
        self.labels = self._scratch.full(size, 0, np.int64)
        for part in stretches(size):
            self.labels[part] = np.arange(part.start, part.stop)
        self.is_linked = self._scratch.full(size, False, np.bool_)
        self.known_by: npt.NDArray[np.int8] | None = None
        self.steps: list[str] = []
        self._has_links = False

    def join(self, links: Iterable[Links], name: str = "") -> bool:
        """Add the links of a step, batch after batch from row 0 on; return whether it knows an earlier dataset."""
        self.steps.append(name)
        is_compared = False
        firsts = np.full(0, -1, dtype=np.int64)
        pairs: list[tuple[Rows, Rows]] = []
        start, is_first = 0, not self._has_links
        for batch in links:
            rows = np.flatnonzero(batch.groups >= 0)
            firsts = _add_firsts(firsts, batch.groups[rows], rows + start, len(self.labels), self._scratch)
            roots, rows = firsts[batch.groups[rows]], rows + start
            if is_first:
                self.labels[rows] = roots
            else:
                roots, members = self.labels[roots], self.labels[rows]
                pairs.append((roots[roots != members], members[roots != members]))
            self._has_links = self._has_links or bool(len(rows))
            self.is_linked[rows] = True
            if batch.known is not None:
                is_compared = True
                self._know(batch.known + start)
            start += len(batch.groups)
        if pairs:
            self._follow(np.concatenate([left for left, _ in pairs]), np.concatenate([right for _, right in pairs]))
        return is_compared

    def _know(self, rows: Rows) -> None:
        if self.known_by is None:
            self.known_by = self._scratch.full(len(self.labels), 0, np.int8)
        self.known_by[rows] = np.where(self.known_by[rows] == 0, len(self.steps), self.known_by[rows])
        self.is_linked[rows] = True

    def _follow(self, left: Rows, right: Rows) -> None:
        """Join components, given as pairs of their labels."""
        roots, members = forest(left, right)
        for part in stretches(len(self.labels)):
            here = self.labels[part]
            at = np.minimum(np.searchsorted(members, here), max(0, len(members) - 1))
            moved = members[at] == here if len(members) else np.zeros(len(here), dtype=np.bool_)
            here[moved] = roots[at[moved]]

    def first_known(self) -> Rows | None:
        """Return for each label the first row with a twin in an earlier dataset, -1: none; None where no row has."""
        if self.known_by is None:
            return None
        found: Rows = self._scratch.full(len(self.labels), -1, np.int64)
        for part in reversed(list(stretches(len(self.labels)))):
            rows = part.start + np.flatnonzero(self.known_by[part])[::-1]
            found[self.labels[rows]] = rows  # of equal labels the last one written stays, which is the first row
        return found

    def choosing(self, num_keys: int) -> Choosing:
        """Return what chooses the winner of each group; num_keys: numbers in the rank."""
        return Choosing(self.labels, num_keys, self._scratch)


def _add_firsts(firsts: Rows, groups: Rows, rows: Rows, size: int, scratch: Scratch) -> Rows:
    """Return the first row of each group, -1 where none came yet, with those of one more batch."""
    if not len(groups):
        return firsts
    most = int(groups.max()) + 1
    if most > len(firsts):
        grown = scratch.full(max(most, size, 2 * len(firsts)), -1, np.int64)
        grown[: len(firsts)] = firsts
        firsts = grown
    new = firsts[groups] < 0
    firsts[groups[new][::-1]] = rows[new][::-1]
    return firsts


class Choosing:
    """Takes candidates batch after batch and knows the best of each label."""

    def __init__(self, labels: Rows, num_keys: int, scratch: Scratch) -> None:
        """labels: of all rows."""
        self._labels = labels
        self.winners: Rows = scratch.full(len(labels), -1, np.int64)
        self._keys = [scratch.full(len(labels), 0.0, np.float64) for _ in range(num_keys)]

    def offer(self, rows: Rows, rank: Sequence[npt.NDArray[Any]]) -> None:
        """Take candidates (ascending, behind all before).

        rank: numbers of each, the most important first; higher is better, NaN is worst. Of equals the first row wins.
        """
        keys = [-np.nan_to_num(values.astype(np.float64), nan=-np.inf) for values in rank]
        order = np.lexsort((rows, *reversed(keys)))
        labels, first = np.unique(self._labels[rows[order]], return_index=True)
        best = order[first]
        is_new = self.winners[labels] < 0
        is_better, is_equal = is_new.copy(), ~is_new
        for held, key in zip(self._keys, keys, strict=True):
            is_better |= is_equal & (key[best] < held[labels])
            is_equal &= key[best] == held[labels]
        labels, best = labels[is_better], best[is_better]
        self.winners[labels] = rows[best]
        for held, key in zip(self._keys, keys, strict=True):
            held[labels] = key[best]

    def losers(self, candidates: Rows) -> tuple[Rows, Rows]:
        """Return those of the candidates that lose, and for each the row that wins its group."""
        winners = self.winners[self._labels[candidates]]
        lost = winners != candidates
        return candidates[lost], winners[lost]
