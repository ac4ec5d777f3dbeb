"""What was measured on the rows that a rule dropped, for the ledger: read again, since the verdict alone is held."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.rules import GroupAtMost, Level
from pipelines.facts import Facts
from pipelines.passes.outcome import COUNTED, Decisions, document_values, sizes_in
from pipelines.passes.verdicts import shown


def shown_values(part: Facts, found: Decisions, level: Level) -> list[str]:
    """Return what the rules measured on the rows of a batch, as texts (six digits of a number); "" where kept."""
    rows = part.image_rows if level == "image" else part.document_rows
    lines = (found.images if level == "image" else found.documents).line[rows]
    texts = [""] * len(lines)
    for line in np.unique(lines[lines >= 0]).tolist():
        here = np.flatnonzero(lines == line)
        for row, value in zip(here.tolist(), _values(part, found, level, line, here), strict=True):
            texts[row] = shown(value)
    return texts


def _values(part: Facts, found: Decisions, level: Level, line: int, rows: npt.NDArray[np.int64]) -> list[Any]:
    """Return the values of the rows of a batch that one line of the funnel dropped."""
    rule = found.rules[line]
    if rule is None:  # the fetch: its status is the reason
        return [found.funnel[line].reason] * len(rows)
    if line in found.stays:
        return names_of_those_that_stay(found, line, rows + part.first_document)
    if level == "image":
        column = part.image_column(rule.measure, is_optional=True)
    elif isinstance(rule, GroupAtMost):
        column = sizes_in(found.group_sizes[rule.measure], part.document_groups(rule.measure))
    else:
        column = document_values(part, found, rule.measure, is_optional=True, line=line)
    values: list[Any] = column[rows].tolist()
    return values


def names_of_those_that_stay(found: Decisions, line: int, rows: npt.NDArray[np.int64]) -> list[str]:
    """Return the ids of the documents that stay instead of these rows of the build, which a line dropped as copies."""
    stays = found.stays[line]
    points = stays.points[np.searchsorted(stays.rows, rows)]
    if len(stays.columns) == 1:
        return found.facts.texts(stays.columns[0], points)
    assert found.graph.known_by is not None
    steps = found.graph.known_by[points] - 1
    names = [""] * len(rows)
    for step in np.unique(steps).tolist():
        here = np.flatnonzero(steps == step)
        for at, name in zip(here.tolist(), found.facts.texts(stays.columns[step], points[here]), strict=True):
            names[at] = name
    return names


def value_of(found: Decisions, level: Level, row: int) -> Any:
    """Return what the rule measured that dropped a row, where a whole build was decided on at once."""
    facts = found.facts
    assert isinstance(facts, Facts)
    lines = (found.images if level == "image" else found.documents).line
    rule = found.rules[line := int(lines[row])]
    assert rule is not None, "the fetch compares nothing"
    if level == "image" or rule.measure not in COUNTED:
        if isinstance(rule, GroupAtMost):
            return int(sizes_in(found.group_sizes[rule.measure], facts.document_groups(rule.measure))[row])
        return facts.value(level, rule.measure, row)
    return document_values(facts, found, rule.measure, line=line)[row]
