"""Images that are one picture, compared once for all thresholds: which pairs there are does not depend on what is kept.

Memory: 4 bytes per image and 16 per pair. Until they are learnt, images still wanted are compared anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import CountsImageGroups, GroupsImages
from infimm_data.links import forest
from infimm_data.rules import Mask
from pipelines.facts import Facts
from pipelines.passes.decide import decide
from pipelines.passes.group import group_images
from pipelines.recipe import Step
from pipelines.stored import ImageGroups

KEPT_ANSWERS = 2  # latest sets of images of each step whose groups are kept
MOST_PAIRS = 1 << 26  # a set with more pairs (1 GiB) is not learnt, and compared anew for each threshold

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """key_of: of each image the number of its key, -1 without one; left, right: keys that are one picture."""

    key_of: npt.NDArray[np.int32]
    left: Rows
    right: Rows

    def groups(self, rows: Rows) -> Rows:
        """Return the group of each of these images, with no others in between."""
        keys = self.key_of[rows]
        labels = np.arange(int(self.key_of.max(initial=-1)) + 1, dtype=np.int64)
        is_there = np.zeros(len(labels), dtype=bool)
        is_there[keys] = True
        linked = is_there[self.left] & is_there[self.right]
        roots, members = forest(self.left[linked], self.right[linked])
        labels[members] = roots
        return labels[keys]


@dataclass(frozen=True)
class _Answer:
    steps: tuple[Step, ...]
    live: Mask
    columns: dict[str, Any]


class ComparedImages(ImageGroups):
    """Finds the groups of images under changing steps, as `ImageGroups` does, from pairs that are found once."""

    def __init__(self) -> None:
        """Nothing is learnt yet."""
        super().__init__()
        self._pairs: dict[str, Pairs] = {}
        self._answers: dict[str, list[_Answer]] = {}

    def learn(self, facts: Facts, steps: Sequence[Step]) -> None:
        """Find the pairs of all images that were fetched, for every step that counts groups."""
        for step in steps:
            if isinstance(step.filter, GroupsImages) and isinstance(step.filter, CountsImageGroups):
                found = pairs_of(step.filter, facts)
                if len(found.left) <= MOST_PAIRS:
                    self._pairs[step.name] = found

    def add_to(self, facts: Facts, steps: Sequence[Step], incumbents: Mask | None = None) -> Facts:
        """Return the facts with the groups of the images still wanted at each step."""
        for number, step in enumerate(steps):
            if isinstance(step.filter, GroupsImages):
                facts = facts.with_images(self._columns(facts, tuple(steps[:number]), step, incumbents))
        return facts

    def _columns(self, facts: Facts, before: tuple[Step, ...], step: Step, incumbents: Mask | None) -> dict[str, Any]:
        """Return the groups at a step; equal steps before it leave the same images, as a move behind it does."""
        answers = self._answers.setdefault(step.name, [])
        if incumbents is None:
            for one in answers:
                if one.steps == before:
                    return one.columns
        live = decide(facts, before, incumbents=incumbents).images.kept
        same = next((one for one in answers if np.array_equal(one.live, live)), None)
        columns = self._compare(step, facts, live) if same is None else same.columns
        if incumbents is None:
            answers.append(_Answer(before, live, columns))
            del answers[1:-KEPT_ANSWERS]  # the first is of the recipe as it stands
        return columns

    def _compare(self, step: Step, facts: Facts, live: Mask) -> dict[str, Any]:
        pairs = self._pairs.get(step.name)
        assert isinstance(step.filter, GroupsImages)
        if pairs is None or not isinstance(step.filter, CountsImageGroups):
            return group_images(step.filter, facts, live)
        rows = np.flatnonzero(live)
        found = step.filter.counted(pairs.groups(rows), facts.image_document[rows])
        return {name: _spread(values, rows, len(live)) for name, values in found.items()}


def pairs_of(groups: Any, facts: Facts) -> Pairs:
    """Return the pairs of all images with what a step compares, by distinct keys."""
    assert isinstance(groups, GroupsImages)
    assert isinstance(groups, CountsImageGroups)
    assert len(groups.compares) == 1, f"{groups}: pairs are of one key"
    encoded = pc.dictionary_encode(facts.images.column(groups.compares[0])).unify_dictionaries().combine_chunks()
    key_of = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    left, right = groups.similar(_keys(encoded.dictionary))
    return Pairs(key_of, left, right)


def _keys(dictionary: pa.Array) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = dictionary.to_numpy(zero_copy_only=False)
    return found.astype(np.uint64) if pa.types.is_integer(dictionary.type) else found


def _spread(values: npt.NDArray[np.float64], rows: Rows, size: int) -> npt.NDArray[np.float64]:
    spread = np.full(size, np.nan)
    spread[rows] = values
    return spread
