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
import pyarrow as pa

from infimm_data.rules import BestFraction, FirstOfGroup, GroupAtMost, Mask, Rule
from pipelines.facts import DATE, Facts, needs_pixels
from pipelines.passes.survivors import Graph
from pipelines.passes.verdicts import StepCount, Verdicts, shown
from pipelines.recipe import Step

BY_RANK, EARLIER_DATASET = "rank ", "earlier dataset"
"""The threshold of a copy: how the one that stays was chosen, or where it is; the value is that one's id."""

FETCHED = "fetch"
"""The step of an image that could not be fetched; its reason is the fetch status."""


@dataclass
class Decisions:
    """Verdicts over all documents and images, and the funnel that they make."""

    documents: Verdicts
    images: Verdicts
    funnel: list[StepCount]
    graph: Graph

    def count(self, line: StepCount, rows: Mask, values: npt.NDArray[Any]) -> None:
        """Add a line to the funnel and drop its rows; values: what was measured on each of them."""
        self.funnel.append(line)
        verdicts = self.images if line.level == "image" else self.documents
        verdicts.drop(len(self.funnel) - 1, rows, values)


def decide(facts: Facts, steps: Sequence[Step], *, fetched: bool = True, incumbents: Mask | None = None) -> Decisions:
    """Apply the steps' rules to the facts.

    fetched: False while images are not fetched yet; then their status is not asked. incumbents: documents that stay
    the first of their group as long as they are kept at all, where shards are thinned but not packed anew.
    Raises ConfigError when a rule that does not keep the unknown reads a measure that neither the dump nor any pass
    has.
    """
    funnel: list[StepCount] = []
    documents, images = Verdicts.all_kept(facts.num_documents, funnel), Verdicts.all_kept(facts.num_images, funnel)
    found = Decisions(documents, images, funnel, Graph(facts.num_documents))
    asked_status = not fetched
    for step in steps:
        if not asked_status and needs_pixels(step):
            _drop_unfetched(facts, found)
            asked_status = True
        for rule in step.filter.rules():
            _apply(facts, found, step, rule, incumbents)
    if not asked_status:
        _drop_unfetched(facts, found)
    images.drop_with_document(images.kept & ~documents.kept[facts.image_document])
    return found


def _drop_unfetched(facts: Facts, found: Decisions) -> None:
    status = facts.image_column("status")
    candidates = _live_images(facts, found)
    failing = candidates & (status != "ok")
    came_in = int(candidates.sum())
    for reason in sorted({"not_fetched" if one is None else str(one) for one in set(status[failing].tolist())}):
        rows = failing & (status == (None if reason == "not_fetched" else reason))
        line = StepCount(FETCHED, "image", reason, "status", "ok", came_in, int(rows.sum()))
        found.count(line, rows, np.full(line.dropped, reason, dtype=object))


def _live_images(facts: Facts, found: Decisions) -> Mask:
    return found.images.kept & found.documents.kept[facts.image_document]


def _apply(facts: Facts, found: Decisions, step: Step, rule: Rule, incumbents: Mask | None) -> None:
    """Ask one rule of every row that is still kept, and write down what it drops."""
    if isinstance(rule, FirstOfGroup):
        assert step.filter.level == "document", "groups of images are counted, not reduced to one"
        _keep_best(facts, found, step, rule, incumbents)
        return
    level = step.filter.level
    is_optional = getattr(rule, "or_unknown", False)
    if level == "image":
        candidates, values = _live_images(facts, found), facts.image_column(rule.measure, is_optional=is_optional)
    elif isinstance(rule, GroupAtMost):
        candidates, values = found.documents.kept, _group_sizes(facts.document_groups(rule.measure))
    else:
        candidates, values = found.documents.kept, _document_values(facts, found, rule.measure, is_optional)
    failing = candidates & ~facts.passing(level, rule, values)
    dropped, came_in = int(failing.sum()), int(candidates.sum())
    line = StepCount(step.name, level, rule.reason, rule.measure, _threshold(rule, values), came_in, dropped)
    found.count(line, failing, values[failing])


def _keep_best(facts: Facts, found: Decisions, step: Step, rule: FirstOfGroup, incumbents: Mask | None) -> None:
    """Link documents as the step does, and keep the best of each group; the ledger names the one that stays.

    Documents that are linked with one of an earlier dataset all go, as that one stays.
    """
    kept = found.documents.kept
    earlier = facts.earlier(rule.measure)
    found.graph.join(facts.document_groups(rule.measure), earlier)
    if earlier is not None:
        rows, twins = found.graph.known_earlier(kept)
        line = StepCount(
            step.name,
            "document",
            f"{rule.reason}_of_earlier",
            rule.measure,
            EARLIER_DATASET,
            int(kept.sum()),
            len(rows),
        )
        found.count(line, _mask(rows, len(kept)), np.array(twins, dtype=object))
        kept = found.documents.kept
    rank = [] if incumbents is None else [incumbents.astype(np.float64)]
    rank += [_ranked(facts, found, name) for name in facts.rank]
    rows, winners = found.graph.losers(kept, rank)
    ids = facts.documents.column("id") if "id" in facts.documents.column_names else None
    values = winners if ids is None else np.array(ids.take(pa.array(winners)).to_pylist(), dtype=object)
    threshold = f"{BY_RANK}{', '.join([*facts.rank, 'first'])}"
    line = StepCount(step.name, "document", rule.reason, rule.measure, threshold, int(kept.sum()), len(rows))
    found.count(line, _mask(rows, len(kept)), values)


def _mask(rows: npt.NDArray[np.int64], size: int) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[rows] = True
    return mask


def _ranked(facts: Facts, found: Decisions, name: str) -> npt.NDArray[Any]:
    """Return a measure that the rank names, higher is better; a minus before the name turns it round."""
    values = np.asarray(_document_values(facts, found, name.removeprefix("-"), False), dtype=np.float64)
    return -values if name.startswith("-") else values


def _document_values(facts: Facts, found: Decisions, measure: str, is_optional: bool) -> npt.NDArray[Any]:
    if measure == "images_kept":
        return images_kept(facts, found)
    if measure == "images_lost":
        lost = ~found.images.kept
        return np.bincount(facts.image_document[lost], minlength=facts.num_documents).astype(np.float64)
    if measure == DATE:
        return facts.dates
    return facts.document_column(measure, is_optional=is_optional)


def _threshold(rule: Rule, values: npt.NDArray[Any]) -> str:
    """Return what a rule compares with, as text; of a share of the set also where it cuts."""
    if isinstance(rule, BestFraction):
        return f"{shown(rule.cut(values))}, the best {shown(rule.bound)} of all"
    return "" if rule.bound is None else shown(rule.bound)


def _group_sizes(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many documents of the whole set each one's group has; 1 for those without a group (-1)."""
    sizes = np.bincount(groups[groups >= 0], minlength=1)
    return np.where(groups < 0, 1, sizes[np.maximum(groups, 0)])


def images_kept(facts: Facts, found: Decisions) -> npt.NDArray[Any]:
    """Return for each document how many of its images are still kept."""
    return np.bincount(facts.image_document[found.images.kept], minlength=facts.num_documents).astype(np.float64)
