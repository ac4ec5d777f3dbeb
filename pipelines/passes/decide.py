"""Decide pass: all stored measures -> which documents and images are kept, by which step, and why not.

Works on whole columns, in the order of the recipe's steps. A dropped document takes its images with it (reason
`document_dropped`); a dropped image leaves the text around it. Kept + dropped = in, always: each row gets
exactly one verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.rules import FirstOfGroup, Level, Mask, Rule
from pipelines.facts import Facts, needs_pixels
from pipelines.recipe import Step

FETCHED = "fetch"
"""The step of an image that could not be fetched; its reason is the fetch status."""


@dataclass
class Verdicts:
    """One verdict per row: `step` is "" where kept, else which step dropped it, with reason, value, threshold.

    value: what was measured, a number or a text; "" where nothing was, `shown_values` makes texts of it.
    """

    kept: Mask
    step: npt.NDArray[Any]
    reason: npt.NDArray[Any]
    value: npt.NDArray[Any]
    threshold: npt.NDArray[Any]

    @classmethod
    def all_kept(cls, size: int) -> Verdicts:
        """Return verdicts before the first step."""
        empty = [np.full(size, "", dtype=object) for _ in range(4)]
        return cls(np.ones(size, dtype=bool), *empty)

    def shown_values(self) -> list[str]:
        """Return the measured values as texts, six digits of a number."""
        return [value if isinstance(value, str) else _text(value) for value in self.value]

    def drop(self, rows: Mask, *, step: str, reason: Any, value: Any, threshold: str) -> None:
        """Drop the rows of a mask, all of them still kept; reason and value: one, or an array per dropped row."""
        self.kept[rows] = False
        self.step[rows] = step
        self.reason[rows] = reason
        self.value[rows] = value
        self.threshold[rows] = threshold


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
class Decisions:
    """Verdicts over all documents and images, and the funnel that they make."""

    documents: Verdicts
    images: Verdicts
    funnel: list[StepCount]


def decide(facts: Facts, steps: Sequence[Step], *, fetched: bool = True) -> Decisions:
    """Apply the steps' rules to the facts.

    fetched: False while images are not fetched yet; then their status is not asked.
    Raises KeyError when a rule reads a measure that no pass has written (a fault of ours, not of the data).
    """
    found = Decisions(Verdicts.all_kept(facts.num_documents), Verdicts.all_kept(facts.num_images), [])
    asked_status = not fetched
    for step in steps:
        if not asked_status and needs_pixels(step):
            _drop_unfetched(facts, found)
            asked_status = True
        for rule in step.filter.rules():
            _apply(facts, found, step.name, step.filter.level, rule)
    if not asked_status:
        _drop_unfetched(facts, found)
    alive = found.documents.kept[facts.image_document]
    orphans = found.images.kept & ~alive
    found.images.drop(orphans, step="document", reason="document_dropped", value="", threshold="")
    return found


def _drop_unfetched(facts: Facts, found: Decisions) -> None:
    status = facts.image_column("status")
    candidates = _live_images(facts, found)
    failing = candidates & (status != "ok")
    came_in = int(candidates.sum())
    reasons = np.where(status[failing] == None, "not_fetched", status[failing])  # noqa: E711  # elementwise on objects
    for reason in sorted(set(reasons.tolist())):
        dropped = int((reasons == reason).sum())
        found.funnel.append(StepCount(FETCHED, "image", str(reason), "status", "ok", came_in, dropped))
    found.images.drop(failing, step=FETCHED, reason=reasons, value=reasons, threshold="ok")


def _live_images(facts: Facts, found: Decisions) -> Mask:
    return found.images.kept & found.documents.kept[facts.image_document]


def _apply(facts: Facts, found: Decisions, step: str, level: Level, rule: Rule) -> None:
    """Ask one rule of every row that is still kept, and write down what it drops."""
    if level == "image":
        verdicts, candidates = found.images, _live_images(facts, found)
        values = facts.image_column(rule.measure)
    else:
        verdicts, candidates = found.documents, found.documents.kept.copy()
        values = _document_values(facts, found, rule.measure)
    if isinstance(rule, FirstOfGroup):
        assert level == "document", "groups of images are counted, not reduced to one"
        passes = _first_of_group(values, candidates, images_kept(facts, found))
    else:
        passes = rule.passes(values)
    failing = candidates & ~passes
    threshold = "" if rule.bound is None else _text(rule.bound)
    dropped, came_in = int(failing.sum()), int(candidates.sum())
    found.funnel.append(StepCount(step, level, rule.reason, rule.measure, threshold, came_in, dropped))
    verdicts.drop(failing, step=step, reason=rule.reason, value=values[failing], threshold=threshold)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN alone differs from itself
        return "not measured"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _document_values(facts: Facts, found: Decisions, measure: str) -> npt.NDArray[Any]:
    if measure == "images_kept":
        return images_kept(facts, found)
    return facts.document_column(measure)


def images_kept(facts: Facts, found: Decisions) -> npt.NDArray[Any]:
    """Return for each document how many of its images are still kept."""
    return np.bincount(facts.image_document[found.images.kept], minlength=facts.num_documents).astype(np.float64)


def _first_of_group(groups: npt.NDArray[Any], candidates: Mask, rank: npt.NDArray[Any]) -> Mask:
    """Return True for rows without a group and for the best candidate of each group.

    Best: highest rank (images kept), then the first row (dump order); both are the same on every run.
    """
    passes = np.ones(len(groups), dtype=bool)
    grouped = np.fromiter((isinstance(group, str) for group in groups), dtype=np.bool_, count=len(groups))
    rows = np.flatnonzero(candidates & grouped)
    order = rows[np.lexsort((rows, -rank[rows]))]
    seen: set[str] = set()
    for row, group in zip(order.tolist(), groups[order].tolist(), strict=True):
        passes[row] = group not in seen
        seen.add(group)
    return passes
