"""Rules: what a filter decides, from measures alone.

A filter measures something once (expensive) and states rules about it (cheap). Rules are data: the decide pass
applies them to whole columns, the funnel counts them, the ledger writes rule, value and threshold beside each
drop, and a changed threshold needs no new measure. A value that was not measured (None, NaN) passes no rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import ComparesEmbeddings, CountsImageUrls, GroupsDocuments, GroupsImages
from infimm_data.document import Document, ImageNode, Measure
from infimm_data.errors import ConfigError
from infimm_data.list_files import digests_of
from infimm_data.vectors import ScoresEmbeddings

Level = Literal["document", "image"]
"""What a rule drops: a whole document, or one image of it (the text around it stays)."""

Mask = npt.NDArray[np.bool_]

DUMP_PREFIX = "dump_"
"""Stands before the name of a measure that came with the dump, so that it never meets one of ours."""


def _or_unknown(passing: Mask, numbers: npt.NDArray[np.float64], or_unknown: bool) -> Mask:
    """Return which rows pass, those that were not measured among them if they are to; NaN compares False."""
    return passing | np.isnan(numbers) if or_unknown else passing


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Keeps what measures at least `bound` (inclusive); `or_unknown` keeps what was not measured as well."""

    measure: str
    bound: float
    reason: str
    or_unknown: bool = False

    def passes(self, values: npt.NDArray[Any]) -> Mask:
        """Return True where the value passes; values: one number per row, NaN where not measured."""
        numbers = np.asarray(values, dtype=np.float64)
        return _or_unknown(numbers >= self.bound, numbers, self.or_unknown)


@dataclass(frozen=True, slots=True)
class AtMost:
    """Keeps what measures at most `bound` (inclusive); `or_unknown` as in `AtLeast`."""

    measure: str
    bound: float
    reason: str
    or_unknown: bool = False

    def passes(self, values: npt.NDArray[Any]) -> Mask:
        """Return True where the value passes; values: one number per row, NaN where not measured."""
        numbers = np.asarray(values, dtype=np.float64)
        return _or_unknown(numbers <= self.bound, numbers, self.or_unknown)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Keeps what measures one of the `bound` slugs; `or_unknown` keeps what was not measured as well."""

    measure: str
    bound: tuple[str, ...]
    reason: str
    or_unknown: bool = False

    def passes(self, values: npt.NDArray[Any]) -> Mask:
        """Return True where the value passes; values: one string or None per row."""
        # A set look-up per row is ten times as fast as numpy's sort of strings.
        wanted = frozenset((*self.bound, None) if self.or_unknown else self.bound)
        return np.fromiter((value in wanted for value in values), dtype=np.bool_, count=len(values))


@dataclass(frozen=True, slots=True)
class BestFraction:
    """Keeps the best `bound` (0 to 1) of all rows of the set that were measured, whatever else drops them.

    As DataComp cuts its pool (`get_threshold` in its baselines/utils.py): a row passes that measures no less than the
    one at place floor(bound * rows), counted from 0, of the descending order; equals pass together. `or_unknown` as in
    `AtLeast`.
    """

    measure: str
    bound: float
    reason: str
    or_unknown: bool = False

    def passes(self, values: npt.NDArray[Any]) -> Mask:
        """Return True where the value passes; values: one number for every row of the set, NaN where not measured."""
        numbers = np.asarray(values, dtype=np.float64)
        return _or_unknown(numbers >= self.cut(numbers), numbers, self.or_unknown)

    def cut(self, values: npt.NDArray[Any]) -> float:
        """Return the smallest value that passes; NaN where nothing was measured."""
        numbers = np.asarray(values, dtype=np.float64)
        measured = numbers[~np.isnan(numbers)]
        if not len(measured):
            return math.nan
        place = len(measured) - 1 - min(int(self.bound * len(measured)), len(measured) - 1)
        return float(np.partition(measured, place)[place])


@dataclass(frozen=True, slots=True)
class GroupAtMost:
    """Keeps the documents of groups that have at most `bound` members in the whole set, whatever else drops them.

    `measure` names a column of group slugs; None is a document that has no twin, and stays.
    """

    measure: str
    bound: float
    reason: str

    def passes(self, values: npt.NDArray[Any]) -> Mask:
        """Return True where the value passes; values: the size of each document's group, 1 where it is alone."""
        passing: Mask = np.asarray(values) <= self.bound
        return passing


@dataclass(frozen=True, slots=True)
class FirstOfGroup:
    """Keeps one document of each group: the first by the recipe's `dedup.rank`, then in dump order.

    `measure` names a column of group slugs; None is a document that has no twin, and stays. All such rules of a
    recipe link documents in one graph: a group is whatever the steps so far connect. The rule looks at documents
    still kept when its step comes, so a group never loses its last good member to a bad one.
    """

    measure: str
    reason: str
    bound: None = None


ByValue = AtLeast | AtMost | OneOf | BestFraction | GroupAtMost  # from values alone
Rule = ByValue | FirstOfGroup


class Filter(Protocol):
    """What every entry of `filters.table.FILTERS` answers: a frozen dataclass whose fields are its settings.

    `None` in a setting means off, 0 means zero. `rules()` lists what must hold, in order. A filter that
    measures is also one of the protocols below; one that is none of them reads measures that others made.
    """

    level: ClassVar[Level]

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in the order in which they are asked."""
        ...


@runtime_checkable
class EditsDocument(Protocol):
    """A step that changes the text before anything is measured: drops paragraphs, masks personal data.

    Edits stand first in a recipe, since every measure is of the text they leave. They state no rules.
    """

    def edit(self, document: Document) -> tuple[Document, Mapping[str, int]]:
        """Return the document as it goes on, and how many parts of it were changed or dropped, by reason slug."""
        ...


@runtime_checkable
class MeasuresDocument(Protocol):
    """A filter that measures a document from its nodes alone: text, URLs, counts."""

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the same keys for every document, the empty one included."""
        ...


@runtime_checkable
class MeasuresImageNode(Protocol):
    """A filter that measures an image before it is fetched: its URL, its declared size, its alt text."""

    def measure_node(self, node: ImageNode) -> Mapping[str, Measure]:
        """Return the same keys for every image node."""
        ...


class Scorer(Protocol):
    """A loaded model that scores images against their texts; lives in one actor, on one device."""

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Measure]]:
        """Return one mapping per image, with None values where its bytes cannot be decoded.

        images: encoded files; texts: for each image the texts it is compared with (may be empty: None values).
        A broken image costs itself only.
        """
        ...


@runtime_checkable
class ScoresPairs(Protocol):
    """A filter whose measure needs a model over images and texts: the CLIP score."""

    def texts_for(self, document: Document, node: int) -> tuple[str, ...]:
        """Return the texts that the image at `document.nodes[node]` is compared with."""
        ...

    def load(self, device: str) -> Scorer:
        """Load the model once; raises ConfigError when its weights cannot be had."""
        ...


@runtime_checkable
class AssignsImages(Protocol):
    """A filter that scores pairs and from them tells which sentence each image of a document goes with.

    order: "reading" leaves the images where the page has them, "assignment" puts each before its sentence when
    documents are packed.
    """

    order: Literal["reading", "assignment"]

    def assign(self, document: Document, scores: Mapping[int, bytes]) -> dict[int, dict[str, Measure]]:
        """Return by position of the image node `assigned_sentence`, `assigned_score`, `assigned_beside`.

        scores: what the scorer told of each image that is still wanted, under `similarities`. Images that no
        sentence fits are left out. The sentences are those of `infimm_data.assignment.sentences_of`.
        """
        ...


_MEASURING = (
    EditsDocument, MeasuresDocument, MeasuresImageNode, ScoresPairs, ScoresEmbeddings,
    GroupsDocuments, GroupsImages, CountsImageUrls, ComparesEmbeddings,
)  # fmt: skip


def within(
    measure: str,
    low: float | None,
    high: float | None,
    *,
    below: str = "",
    above: str = "",
    or_unknown: bool = False,
) -> tuple[AtLeast | AtMost, ...]:
    """Return the rules of an inclusive range; None is off. below, above: the reasons of a drop on either side."""
    at_least = () if low is None else (AtLeast(measure, low, below, or_unknown),)
    at_most = () if high is None else (AtMost(measure, high, above, or_unknown),)
    return (*at_least, *at_most)


def check_bounds(settings: Any) -> None:
    """Raise ConfigError when a bound is not a number or a `min_X` lies above its `max_X`; call on construction."""
    for name in (f.name for f in fields(settings) if f.name.startswith(("min_", "max_"))):
        value = getattr(settings, name)
        if value is not None and math.isnan(value):
            raise ConfigError(f"{name} is not a number; write a number, or null to switch the rule off")
        high_name = f"max_{name.removeprefix('min_')}"
        high = getattr(settings, high_name, None) if name.startswith("min_") else None
        if value is not None and high is not None and value > high:
            raise ConfigError(f"{name} is {value}, above {high_name} {high}: nothing could pass; swap or widen them")


def measured_with(settings: Any) -> dict[str, Any]:
    """Return the settings of a filter that change what it measures: all fields but those its rules compare.

    Bounds are named `min_*`, `max_*` or `keep*` (STYLE: bounds are inclusive), where images are put `order`;
    everything else (a model, an n-gram length) shapes the measured value, so a change there measures again. The files
    that settings name stand there with their digests: another content measures again, too. A filter that measures
    nothing has no such settings.
    """
    measuring: Any = settings
    if not isinstance(settings, _MEASURING):
        return {}
    bounds = ("min_", "max_", "keep", "order")
    shaping = {f.name: getattr(measuring, f.name) for f in fields(measuring) if not f.name.startswith(bounds)}
    return shaping | digests_of(settings)
