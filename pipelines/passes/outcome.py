"""What a decision found: verdicts, the funnel, and what tells on which value a row was dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.rules import Rule
from pipelines.facts import BatchedFacts, Facts
from pipelines.passes.survivors import Graph, Rows
from pipelines.passes.verdicts import StepCount, Verdicts

COUNTED = ("images_kept", "images_lost")
"""Measures of documents that are counted when a rule asks."""


@dataclass(frozen=True)
class Stays:
    """Of the documents that a line of the funnel dropped as copies, ascending, the row that tells which one stays.

    column: the texts of those rows that name it, by the step (of `Graph.known_by`) where there are several.
    """

    rows: Rows
    points: Rows
    columns: tuple[str, ...]


@dataclass
class Decisions:
    """Verdicts over all documents and images, and the funnel that they make.

    facts: with what was found of images meanwhile. rules: of each line of the funnel, None where it is the fetch.
    stays: of the lines that drop copies. group_sizes: of the measures that ask for them, by group number.
    num_unmeasured: images that rules dropped because nothing was measured of them.
    """

    facts: BatchedFacts
    documents: Verdicts
    images: Verdicts
    funnel: list[StepCount]
    graph: Graph
    rules: list[Rule | None] = field(default_factory=list)
    stays: dict[int, Stays] = field(default_factory=dict)
    group_sizes: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    num_unmeasured: int = 0

    def add(self, line: StepCount, rule: Rule | None) -> int:
        """Add a line to the funnel; return its number."""
        self.funnel.append(line)
        self.rules.append(rule)
        return len(self.funnel) - 1


def document_values(
    part: Facts, found: Decisions, measure: str, *, is_optional: bool = False, line: int | None = None
) -> npt.NDArray[Any]:
    """Return a measure of the documents of a batch. line: of the funnel, which was asked when images are counted."""
    if measure in COUNTED:
        lines = found.images.line[part.image_rows]
        lost = lines >= 0 if line is None else (lines >= 0) & (lines < line)
        counted = lost if measure == "images_lost" else ~lost
        return np.bincount(part.image_document[counted], minlength=part.num_documents).astype(np.float64)
    return part.document_column(measure, is_optional=is_optional)


def group_sizes(facts: BatchedFacts, measure: str) -> npt.NDArray[np.int64]:
    """Return how many documents of the whole set each group has, by its number."""
    sizes = np.zeros(1, dtype=np.int64)
    for part in facts.batches():
        groups = part.document_groups(measure)
        here = np.bincount(groups[groups >= 0], minlength=len(sizes))
        here[: len(sizes)] += sizes
        sizes = here
    return sizes


def sizes_in(sizes: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the size of each document's group; 1 for those without a group (-1)."""
    return np.where(groups < 0, 1, sizes[np.maximum(groups, 0)])
