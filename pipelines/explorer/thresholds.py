"""The thresholds of a build as sliders: what each of them is, and what another value would keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from infimm_data.errors import ConfigError
from infimm_data.files import read_bytes
from infimm_data.rules import AtLeast, AtMost, EditsDocument, Level, Mask, OneOf, Rule, measured_with
from pipelines.batches import measures_of
from pipelines.explorer.remembered import remembered
from pipelines.facts import Facts
from pipelines.histogram import Bars, bars_of
from pipelines.layout import Layout
from pipelines.passes.outcome import Decisions
from pipelines.passes.verdicts import Verdicts
from pipelines.recipe import Recipe, Step, plain
from pipelines.stored import ImageGroups, stored_incumbents
from pipelines.what_if import Recount, WhatIf, bound, changed_steps

WORDS = 12  # of a measure that is a word, the most frequent
EXAMPLES = 6  # documents or images that change sides, of each level and side

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slider:
    """One bound of a step. measures: what it is compared with.

    value: a number, None (off), a list of words, or whether; is_whole: whether the number is a whole one.
    """

    step: str
    key: str
    level: Level
    value: float | int | bool | tuple[str, ...] | None
    is_whole: bool
    measures: tuple[str, ...]


@dataclass(frozen=True)
class _Binned:
    """The bars of a measure and the bar of every row; how many rows are in each, and how many of them are kept."""

    level: Level
    bars: Bars
    places: npt.NDArray[np.int16]
    whole: list[int]
    now: list[int]

    def drawn(self, found: Recount) -> dict[str, Any]:
        """Return the histogram for the page."""
        then = getattr(found.then, f"{self.level}s").kept
        return {
            "level": self.level,
            "edges": self.bars.edges.tolist(),
            "is_log": self.bars.is_log,
            "all": self.whole,
            "now": self.now,
            "then": _counts(self.places[then], len(self.bars.edges) - 1),
        }


@dataclass(frozen=True)
class _Worded:
    """A measure that is a word: its most frequent ones, the place among them of every row (-1: another), its counts."""

    level: Level
    words: list[str]
    places: npt.NDArray[np.int16]
    whole: list[int]
    now: list[int]

    def drawn(self, found: Recount) -> dict[str, Any]:
        """Return the words for the page."""
        then = _counts(self.places[getattr(found.then, f"{self.level}s").kept], len(self.words))
        return {"level": self.level, "words": self.words, "all": self.whole, "now": self.now, "then": then}


class Thresholds:
    """Answers the questions of the sliders from measures in memory."""

    def __init__(self, layout: Layout, recipe: Recipe, measured: Facts, groups: ImageGroups) -> None:
        """Decide as the build did, and draw every histogram.

        measured: the build's facts without groups of images, `slider_measures(recipe)` at least. groups: finds those.
        """
        self._layout = layout
        incumbents = stored_incumbents(layout, measured.items)
        self._what_if = WhatIf(remembered(measured), recipe.steps, groups, incumbents)
        self.sliders = sliders_in(recipe)
        measures = list(dict.fromkeys(name for slider in self.sliders for name in slider.measures))
        with ThreadPoolExecutor() as pool:  # numpy sorts values into bars without Python's lock
            binned = zip(measures, pool.map(self._bin, measures), strict=True)
            self._binned = {name: one for name, one in binned if one is not None}
        listed = dict.fromkeys(name for one in self.sliders if isinstance(one.value, tuple) for name in one.measures)
        self._worded = {name: one for name in listed if (one := self._word(name)) is not None}

    @property
    def now(self) -> Decisions:
        """What is decided as the recipe stands."""
        return self._what_if.now

    def recount(self, changes: Sequence[str]) -> dict[str, Any]:
        """Return counts, funnel, histograms and examples under changed bounds; raises ConfigError on a wrong one."""
        found = self._what_if.ask(changes)
        return {
            "kept": {name: _both(found, lambda one, name=name: int(getattr(one, name).kept.sum())) for name in _LEVELS},
            "unmeasured": found.num_unmeasured,
            "funnel": _funnels(found),
            "histograms": {name: binned.drawn(found) for name, binned in self._binned.items()},
            "words": {name: worded.drawn(found) for name, worded in self._worded.items()},
            "examples": {name: _changed(getattr(found.now, name), getattr(found.then, name)) for name in _LEVELS},
        }

    def decisions(self, changes: Sequence[str]) -> Decisions:
        """Return what would be decided."""
        return self._what_if.ask(changes).then

    def recipe(self, changes: Sequence[str]) -> str:
        """Return the build's recipe with the changes in it, as YAML that `infimm build` takes."""
        new = {step.name: step for step in changed_steps(self._what_if.steps, changes)}
        stored = yaml.safe_load(read_bytes(self._layout.recipe))
        for entry in stored["steps"]:
            entry.update(plain(new[entry["filter"]].settings()))
        asked = ", ".join(changes) or "nothing"
        head = f"# What:    the recipe of a build with other thresholds; changed: {asked}\n"
        head += "# Run:     infimm build THIS --out OUT   (into the same OUT nothing is measured again)\n"
        return head + str(yaml.safe_dump(stored, sort_keys=False, allow_unicode=True))

    def _bin(self, measure: str) -> _Binned | None:
        """Return the bars of a measure; None where it is a word, is not stored, or was taken of nothing."""
        facts, level = self._place(measure)
        if level is None:
            return None
        values = _numbers(facts, level, measure)
        known = values[np.isfinite(values)]
        if not len(known):
            return None
        bounds = [s.value for s in self.sliders if measure in s.measures and isinstance(s.value, int | float)]
        bars, _ = bars_of(known, [float(bound) for bound in bounds])
        places = bars.places(values)
        whole, now = (_counts(some, len(bars.edges) - 1) for some in (places, places[self._kept(level)]))
        return _Binned(level, bars, places, whole, now)

    def _word(self, measure: str) -> _Worded | None:
        """Return the words of a measure; None where it is not stored, or is none."""
        facts, level = self._place(measure)
        column = None if level is None else (facts.images if level == "image" else facts.documents).column(measure)
        if level is None or column is None or not pa.types.is_string(column.type):
            return None
        encoded = pc.dictionary_encode(column).unify_dictionaries().combine_chunks()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary)), kind="stable")[:WORDS]
        place_of = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int16)  # the last is that of no word
        place_of[frequent] = np.arange(len(frequent))
        places, words = place_of[codes], encoded.dictionary.take(pa.array(frequent)).to_pylist()
        whole, now = (_counts(some, len(words)) for some in (places, places[self._kept(level)]))
        return _Worded(level, words, places, whole, now)

    def _place(self, measure: str) -> tuple[Facts, Level | None]:
        """Return the facts, with the groups of images, and the level whose table has a measure."""
        facts = self.now.facts
        assert isinstance(facts, Facts)
        levels: tuple[tuple[Level, pa.Table], ...] = ("document", facts.documents), ("image", facts.images)
        return facts, next((level for level, table in levels if measure in table.column_names), None)

    def _kept(self, level: Level) -> Mask:
        return self.now.images.kept if level == "image" else self.now.documents.kept


_LEVELS = ("documents", "images")


def _numbers(facts: Facts, level: Level, measure: str) -> npt.NDArray[np.float64]:
    column = facts.image_column(measure) if level == "image" else facts.document_column(measure)
    try:
        return np.asarray(column, dtype=np.float64)
    except ValueError:  # words
        return np.full(len(column), np.nan)


def _counts(places: npt.NDArray[np.int16], bars: int) -> list[int]:
    return [int(number) for number in np.bincount(places[places >= 0], minlength=bars)]


def _both(found: Recount, count: Any) -> list[int]:
    return [count(found.now), count(found.then)]


def _funnels(found: Recount) -> list[dict[str, Any]]:
    """Return every line of both funnels: what it drops, what it would drop, and both thresholds."""
    now, then = ({(one.step, one.reason): one for one in side.funnel} for side in (found.now, found.then))
    lines = []
    for key in dict.fromkeys([*now, *then]):
        sides = [now.get(key), then.get(key)]
        level = next(one.level for one in sides if one)
        lines.append({
            "step": key[0], "reason": key[1], "level": level,
            "thresholds": [one.threshold if one else "" for one in sides],
            "dropped": [one.dropped if one else 0 for one in sides],
        })  # fmt: skip
    return lines


def _changed(now: Verdicts, then: Verdicts) -> dict[str, Any]:
    """Return some rows that would be lost and some that would be won, evenly over all of them."""
    sides = {"lost": now.kept & ~then.kept, "won": then.kept & ~now.kept}
    return {name: {"count": int(rows.sum()), "rows": _some(np.flatnonzero(rows))} for name, rows in sides.items()}


def _some(rows: Rows) -> list[int]:
    return [int(row) for row in rows[:: max(1, len(rows) // EXAMPLES)][:EXAMPLES]]


def sliders_in(recipe: Recipe) -> list[Slider]:
    """Return the sliders of all steps."""
    return [slider for step in recipe.steps for slider in sliders_of(step)]


def slider_measures(recipe: Recipe) -> set[str]:
    """Return what the decisions of a recipe read under any of its sliders: of rules that are off as well."""
    return measures_of(recipe) | {name for slider in sliders_in(recipe) for name in slider.measures}


def sliders_of(step: Step) -> list[Slider]:
    """Return the bounds of a step, those by name one by one: its settings that change no measure; none of an edit."""
    if isinstance(step.filter, EditsDocument):
        return []
    fields = [one.name for one in dataclasses.fields(step.filter)]  # type: ignore[arg-type]  # filters are dataclasses
    fixed = {*measured_with(step.filter), "order"}
    found = []
    for field in fields:
        value = getattr(step.filter, field)
        named = (
            {f"{field}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else {field: value}
        )
        if field not in fixed and not isinstance(value, str):
            is_whole = _is_whole(step, field)
            found += [
                Slider(step.name, key, step.filter.level, one, is_whole, _measures(step, key, one))
                for key, one in named.items()
            ]
    return found


def _is_whole(step: Step, field: str) -> bool:
    """Return whether a bound takes whole numbers alone, as its annotation says."""
    hint = get_type_hints(type(step.filter))[field]
    return int in (hint, *get_args(hint)) and float not in get_args(hint)


def _measures(step: Step, key: str, value: Any) -> tuple[str, ...]:
    """Return the measures that a bound is compared with: those of the rules that change with it."""
    if isinstance(value, tuple):
        return tuple(dict.fromkeys(r.measure for r in step.filter.rules() if isinstance(r, OneOf) and r.bound == value))
    if isinstance(value, bool):
        return ()
    others: tuple[float | None, ...] = (1,) if value is None else (None, value + 1, value - 1)
    found = next((rules for other in others if (rules := _rules(step, key, other)) is not None), ())
    changed = set(step.filter.rules()) ^ set(found)
    in_order = (*step.filter.rules(), *found)
    bounding = [rule for rule in in_order if rule in changed and isinstance(rule, AtLeast | AtMost)]
    return tuple(dict.fromkeys(rule.measure for rule in bounding))


def _rules(step: Step, key: str, value: float | None) -> tuple[Rule, ...] | None:
    """Return the rules under another value, None where the filter does not take it."""
    try:
        return dataclasses.replace(step.filter, **bound(step.filter, key, value)).rules()  # type: ignore[type-var]
    except (ConfigError, TypeError):
        return None
