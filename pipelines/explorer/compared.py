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
from pipelines.facts import BatchedFacts, Facts, FoundOfImages
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


class ComparedImages(ImageGroups):
    """Finds the groups of images under changing steps, as `ImageGroups` does, from pairs that are found once."""

    def __init__(self) -> None:
        """Nothing is learnt yet."""
        super().__init__()
        self._pairs: dict[str, Pairs] = {}
        self._answers: dict[str, list[tuple[Mask, FoundOfImages]]] = {}

    def learn(self, facts: Facts, steps: Sequence[Step]) -> None:
        """Find the pairs of all images that were fetched, for every step that counts groups."""
        for step in steps:
            if isinstance(step.filter, GroupsImages) and isinstance(step.filter, CountsImageGroups):
                found = pairs_of(step.filter, facts)
                if len(found.left) <= MOST_PAIRS:
                    self._pairs[step.name] = found

    def compare(self, facts: BatchedFacts, step: Step, live: Mask) -> FoundOfImages:
        """Return what a step measures of the images that are live."""
        answers = self._answers.setdefault(step.name, [])
        for known, found in answers:
            if np.array_equal(known, live):
                return found
        found = self._found(facts, step, live)
        answers.append((live, found))
        del answers[1:-KEPT_ANSWERS]  # the first is of the recipe as it stands
        return found

    def _found(self, facts: BatchedFacts, step: Step, live: Mask) -> FoundOfImages:
        groups = step.filter
        assert isinstance(groups, GroupsImages)
        if not isinstance(groups, CountsImageGroups):
            return group_images(groups, facts, live)
        assert isinstance(facts, Facts)
        rows = np.flatnonzero(live)
        pairs = self._pairs.get(step.name)
        found = pairs_of(groups, facts, rows).groups(np.arange(len(rows))) if pairs is None else pairs.groups(rows)
        return FoundOfImages(rows, groups.counted(found, facts.image_document[rows]))


def pairs_of(groups: Any, facts: Facts, rows: Rows | None = None) -> Pairs:
    """Return the pairs of images with what a step compares, by distinct keys; rows: of these alone, None: of all."""
    assert isinstance(groups, GroupsImages)
    assert isinstance(groups, CountsImageGroups)
    assert len(groups.compares) == 1, f"{groups}: pairs are of one key"
    column = facts.images.column(groups.compares[0])
    column = column if rows is None else column.take(pa.array(rows))
    encoded = pc.dictionary_encode(column).unify_dictionaries().combine_chunks()
    key_of = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    left, right = groups.similar(_keys(encoded.dictionary))
    return Pairs(key_of, left, right)


def _keys(dictionary: pa.Array) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = dictionary.to_numpy(zero_copy_only=False)
    return found.astype(np.uint64) if pa.types.is_integer(dictionary.type) else found
