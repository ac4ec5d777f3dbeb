"""Decide pass: all stored measures -> which documents and images are kept, by which step, and why not.

Works on the columns of a batch at a time, in the order of the recipe's steps: as many rules as need nothing of other
batches are asked in one go. What is held of all documents is their verdicts, and the graph of copies. A dropped
document takes its images with it (reason `document_dropped`); a dropped image leaves the text around it. Kept +
dropped = in, always: each row gets exactly one verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import GroupsImages
from infimm_data.rules import AtLeast, BestFraction, ByValue, FirstOfGroup, GroupAtMost, Level, Mask, Rule
from pipelines.facts import DATE, EARLIER, BatchedFacts, Facts, FoundOfImages, needs_pixels
from pipelines.passes.outcome import Decisions, Stays, document_values, group_sizes, sizes_in
from pipelines.passes.quantile import cut_of
from pipelines.passes.survivors import Choosing, Graph, Links, Rows, stretches
from pipelines.passes.verdicts import KEPT, WITH_DOCUMENT, StepCount, Verdicts, shown
from pipelines.recipe import Step

BY_RANK, EARLIER_DATASET = "rank ", "earlier dataset"
"""The threshold of a copy: how the one that stays was chosen, or where it is; the value is that one's id."""

FETCHED = "fetch"
"""The step of an image that could not be fetched; its reason is the fetch status."""


class ComparesImages(Protocol):
    """Compares images while it is decided, where the steps before may change which are wanted."""

    def compare(self, facts: BatchedFacts, step: Step, live: Mask) -> FoundOfImages:
        """Return what the step measures of the images that are live; live: one for each image of the build."""
        ...


def decide(
    facts: BatchedFacts, steps: Sequence[Step],
    *, fetched: bool = True, incumbents: Mask | None = None, images: ComparesImages | None = None,
) -> Decisions:  # fmt: skip
    """Apply the steps' rules to the facts.

    fetched: False while images are not fetched yet; then their status is not asked. incumbents: documents that stay
    the first of their group as long as they are kept at all, where shards are thinned but not packed anew. images:
    finds what steps measure that compare images; None where the facts have it.
    Raises ConfigError when a rule that does not keep the unknown reads a measure that neither the dump nor any pass
    has.
    """
    deciding = _Deciding(facts, incumbents)
    asked_status = not fetched
    for step in steps:
        if not asked_status and needs_pixels(step):
            deciding.drop_unfetched()
            asked_status = True
        if images is not None and isinstance(step.filter, GroupsImages):
            deciding.compare_images(step, images)
        for rule in step.filter.rules():
            deciding.ask(step, rule)
    if not asked_status:
        deciding.drop_unfetched()
    return deciding.finish()


@dataclass
class _Question:
    """A rule that is asked of row after row, and what it found so far; compares: the same rule with its threshold."""

    step: Step
    rule: ByValue
    compares: ByValue
    threshold: str
    came_in: int = 0
    dropped: int = 0


class _Deciding:
    """The state of a decision: questions wait until something needs their answers over all batches."""

    def __init__(self, facts: BatchedFacts, incumbents: Mask | None) -> None:
        self._facts, self._incumbents = facts, incumbents
        scratch = facts.scratch
        funnel: list[StepCount] = []
        documents = Verdicts(scratch.full(facts.num_documents, KEPT, np.int16), funnel)
        images = Verdicts(scratch.full(facts.num_images, KEPT, np.int16), funnel)
        self.found = Decisions(facts, documents, images, funnel, Graph(facts.num_documents, scratch))
        self._waiting: list[_Question] = []

    def ask(self, step: Step, rule: Rule) -> None:
        """Ask one rule of every row that is still kept, now or with the next ones."""
        if isinstance(rule, FirstOfGroup):
            assert step.filter.level == "document", "groups of images are counted, not reduced to one"
            self._keep_best(step, rule)
        elif isinstance(rule, BestFraction):
            self._answer()
            cut = cut_of(self._facts, rule, lambda part: self._values(part, step.filter.level, rule))
            best = f"{shown(cut)}, the best {shown(rule.bound)} of all"
            compares = AtLeast(rule.measure, cut, rule.reason, rule.or_unknown)
            self._waiting.append(_Question(step, rule, compares, best))
        else:
            if isinstance(rule, GroupAtMost) and step.filter.level == "document":
                self.found.group_sizes[rule.measure] = group_sizes(self._facts, rule.measure)
            self._waiting.append(_Question(step, rule, rule, "" if rule.bound is None else shown(rule.bound)))

    def finish(self) -> Decisions:
        """Return the decisions once every question is answered."""
        self._answer()
        for part in self._facts.batches():
            images = self.found.images.line[part.image_rows]
            lost = (images == KEPT) & (self.found.documents.line[part.document_rows] != KEPT)[part.image_document]
            images[lost] = WITH_DOCUMENT
        return self.found

    def compare_images(self, step: Step, images: ComparesImages) -> None:
        """Find what a step measures of the images that are still wanted."""
        live = np.zeros(self._facts.num_images, dtype=np.bool_)

        def note(part: Facts) -> None:
            live[part.image_rows] = self._live(part, "image")

        self._answer(note)
        self.found.facts = self._facts = self._facts.with_found(images.compare(self._facts, step, live))

    def drop_unfetched(self) -> None:
        """Drop the images that could not be fetched, a line of the funnel for each status."""
        reasons: dict[str, int] = {}  # a line that each reason has until all are known
        counts: dict[str, int] = {}
        came_in = 0
        first = len(self.found.funnel) + len(self._waiting)

        def drop(part: Facts) -> None:
            nonlocal came_in
            status, live = part.image_column("status"), self._live(part, "image")
            came_in += int(live.sum())
            failing = live & (status != "ok")
            for one in set(status[failing].tolist()):
                reason = "not_fetched" if one is None else str(one)
                rows = failing & (status == one)
                counts[reason] = counts.get(reason, 0) + int(rows.sum())
                self.found.images.line[part.image_rows][rows] = reasons.setdefault(reason, first + len(reasons))

        self._answer(drop)
        places = {reasons[reason]: first + at for at, reason in enumerate(sorted(reasons))}
        final = np.array([places[line] for line in sorted(places)], dtype=np.int16)
        for part in stretches(len(self.found.images.line)) if final.size else ():
            lines = self.found.images.line[part]
            lines[lines >= first] = final[lines[lines >= first] - first]
        for reason in sorted(reasons):
            self.found.add(StepCount(FETCHED, "image", reason, "status", "ok", came_in, counts[reason]), None)

    def _answer(self, note: Callable[[Facts], None] | None = None) -> None:
        """Ask what waits, batch after batch; note: is called with each batch when its rules are asked."""
        if not self._waiting and note is None:
            return
        first = len(self.found.funnel)
        for part in self._facts.batches():
            for number, question in enumerate(self._waiting):
                self._ask(part, question, first + number)
            if note is not None:
                note(part)
        for asked in self._waiting:
            rule, step = asked.rule, asked.step
            measured = (step.name, step.filter.level, rule.reason, rule.measure, asked.threshold)
            self.found.add(StepCount(*measured, asked.came_in, asked.dropped), rule)
        self._waiting = []

    def _ask(self, part: Facts, question: _Question, line: int) -> None:
        level = question.step.filter.level
        candidates, values = self._live(part, level), self._values(part, level, question.rule)
        failing = candidates & ~part.passing(level, question.compares, values)
        question.came_in += int(candidates.sum())
        question.dropped += int(failing.sum())
        if level == "image":
            self.found.images.line[part.image_rows][failing] = line
            self.found.num_unmeasured += _num_unmeasured(values[failing])
        else:
            self.found.documents.line[part.document_rows][failing] = line

    def _live(self, part: Facts, level: Level) -> Mask:
        """Return which rows of a batch are still kept."""
        documents: Mask = self.found.documents.line[part.document_rows] == KEPT
        if level == "document":
            return documents
        kept: Mask = (self.found.images.line[part.image_rows] == KEPT) & documents[part.image_document]
        return kept

    def _values(self, part: Facts, level: Level, rule: Rule) -> npt.NDArray[Any]:
        """Return what a rule compares, for each row of a batch."""
        is_optional = getattr(rule, "or_unknown", False)
        if level == "image":
            return part.image_column(rule.measure, is_optional=is_optional)
        if isinstance(rule, GroupAtMost):
            return sizes_in(self.found.group_sizes[rule.measure], part.document_groups(rule.measure))
        return document_values(part, self.found, rule.measure, is_optional=is_optional)

    def _keep_best(self, step: Step, rule: FirstOfGroup) -> None:
        """Link documents as the step does, and keep the best of each group; the ledger names the one that stays.

        Documents that are linked with one of an earlier dataset all go, as that one stays.
        """
        links = (Links(p.document_groups(rule.measure), p.earlier(rule.measure)) for p in self._facts.batches())
        is_compared = self.found.graph.join(links, f"{rule.measure}{EARLIER}")
        known = self.found.graph.first_known()
        choosing = self.found.graph.choosing(len(self._facts.rank) + (self._incumbents is not None))
        self._answer(lambda part: self._offer(part, choosing, known))
        if is_compared:
            self._drop_known(step, rule, known)
        lost: list[Rows] = []
        winners: list[Rows] = []
        came_in = 0
        for part in stretches(len(self.found.documents.line)):
            kept = self.found.documents.line[part] == KEPT
            came_in += int(kept.sum())
            rows = part.start + np.flatnonzero(kept & self.found.graph.is_linked[part])
            for into, found in zip((lost, winners), choosing.losers(rows), strict=True):
                into.append(found)
        threshold = f"{BY_RANK}{', '.join([*self._facts.rank, 'first'])}"
        self._drop_copies(step, rule, rule.reason, threshold, came_in, Stays(_joined(lost), _joined(winners), ("id",)))

    def _offer(self, part: Facts, choosing: Choosing, known: Rows | None) -> None:
        """Let the documents of a batch compete that are kept and linked, and with no earlier dataset's."""
        graph, where = self.found.graph, part.document_rows
        candidates = self._live(part, "document") & graph.is_linked[where]
        if known is not None:
            candidates &= known[graph.labels[where]] < 0
        rank = [] if self._incumbents is None else [self._incumbents[where].astype(np.float64)]
        rank += [_ranked(part, self.found, name) for name in self._facts.rank]
        rows = np.flatnonzero(candidates)
        choosing.offer(rows + where.start, [values[rows] for values in rank])

    def _drop_known(self, step: Step, rule: FirstOfGroup, known: Rows | None) -> None:
        """Drop the documents that are connected with one of an earlier dataset."""
        lost, points = [], []
        came_in = 0
        for part in stretches(len(self.found.documents.line)):
            kept = self.found.documents.line[part] == KEPT
            came_in += int(kept.sum())
            if known is not None:
                twins = known[self.found.graph.labels[part]]
                rows = np.flatnonzero(kept & (twins >= 0))
                lost.append(rows + part.start)
                points.append(twins[rows])
        reason = f"{rule.reason}_of_earlier"
        stays = Stays(_joined(lost), _joined(points), tuple(self.found.graph.steps))
        self._drop_copies(step, rule, reason, EARLIER_DATASET, came_in, stays)

    def _drop_copies(
        self, step: Step, rule: FirstOfGroup, reason: str, threshold: str, came_in: int, stays: Stays
    ) -> None:
        line = StepCount(step.name, "document", reason, rule.measure, threshold, came_in, len(stays.rows))
        number = self.found.add(line, rule)
        self.found.documents.line[stays.rows] = number
        self.found.stays[number] = stays


def _joined(parts: Sequence[Rows]) -> Rows:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _num_unmeasured(values: npt.NDArray[Any]) -> int:
    """Return how many values are NaN, which alone differs from itself, or None."""
    missing = int((values != values).sum())
    return missing + (sum(value is None for value in values.tolist()) if values.dtype == object else 0)


def _ranked(part: Facts, found: Decisions, name: str) -> npt.NDArray[Any]:
    """Return a measure that the rank names, higher is better; a minus before the name turns it round."""
    measure = name.removeprefix("-")
    column = part.dates if measure == DATE else document_values(part, found, measure)
    values = np.asarray(column, dtype=np.float64)
    return -values if name.startswith("-") else values
