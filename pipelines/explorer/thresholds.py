"""The thresholds of a build as sliders: what each of them is, and what another value would keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import yaml

from infimm_data.errors import ConfigError
from infimm_data.files import read_bytes
from infimm_data.rules import AtLeast, AtMost, EditsDocument, Level, Mask, Rule, measured_with
from pipelines.explorer.remembered import remembered
from pipelines.histogram import Bars, bars_of
from pipelines.passes.outcome import Decisions
from pipelines.passes.verdicts import Verdicts
from pipelines.recipe import Step, plain
from pipelines.stored import ImageGroups
from pipelines.study import Study
from pipelines.what_if import Recount, WhatIf, bound, changed_steps

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
    """The bars of a measure and the bar of every row."""

    level: Level
    bars: Bars
    places: npt.NDArray[np.int16]
    whole: list[int]

    def counts(self, rows: Mask) -> list[int]:
        return _counts(self.places[rows], len(self.bars.edges) - 1)


class Thresholds:
    """Answers the questions of the sliders from measures in memory."""

    def __init__(self, study: Study, groups: ImageGroups) -> None:
        """groups: those that `load_study` found the images' groups with, so that they are not found again."""
        self.study = study
        self._what_if = WhatIf(remembered(study.measured), study.recipe.steps, groups, study.incumbents)
        self.sliders = [slider for step in study.recipe.steps for slider in sliders_of(step)]
        self._binned: dict[str, _Binned | None] = {}

    def recount(self, changes: Sequence[str]) -> dict[str, Any]:
        """Return counts, funnel, histograms and examples under changed bounds; raises ConfigError on a wrong one."""
        found = self._what_if.ask(changes)
        measures = dict.fromkeys(name for slider in self.sliders for name in slider.measures)
        return {
            "kept": {name: _both(found, lambda one, name=name: int(getattr(one, name).kept.sum())) for name in _LEVELS},
            "unmeasured": found.num_unmeasured,
            "funnel": _funnels(found),
            "histograms": {name: drawn for name in measures if (drawn := self._histogram(name, found))},
            "examples": {name: _changed(getattr(found.now, name), getattr(found.then, name)) for name in _LEVELS},
        }

    def decisions(self, changes: Sequence[str]) -> Decisions:
        """Return what would be decided."""
        return self._what_if.ask(changes).then

    def recipe(self, changes: Sequence[str]) -> str:
        """Return the build's recipe with the changes in it, as YAML that `infimm build` takes."""
        new = {step.name: step for step in changed_steps(self._what_if.steps, changes)}
        stored = yaml.safe_load(read_bytes(self.study.layout.recipe))
        for entry in stored["steps"]:
            entry.update(plain(new[entry["filter"]].settings()))
        asked = ", ".join(changes) or "nothing"
        head = f"# What:    the recipe of a build with other thresholds; changed: {asked}\n"
        head += "# Run:     infimm build THIS --out OUT   (into the same OUT nothing is measured again)\n"
        return head + str(yaml.safe_dump(stored, sort_keys=False, allow_unicode=True))

    def _histogram(self, measure: str, found: Recount) -> dict[str, Any] | None:
        if measure not in self._binned:
            self._binned[measure] = self._bin(measure)
        binned = self._binned[measure]
        if binned is None:
            return None
        level = f"{binned.level}s"
        return {
            "level": binned.level,
            "edges": binned.bars.edges.tolist(),
            "is_log": binned.bars.is_log,
            "all": binned.whole,
            "now": binned.counts(getattr(found.now, level).kept),
            "then": binned.counts(getattr(found.then, level).kept),
        }

    def _bin(self, measure: str) -> _Binned | None:
        """Return the bars of a measure; None where it is a word, is not stored, or was taken of nothing."""
        for level, table in (("document", self.study.facts.documents), ("image", self.study.facts.images)):
            if measure not in table.column_names:
                continue
            values = _numbers(self.study, level, measure)
            known = values[np.isfinite(values)]
            if not len(known):
                return None
            bounds = [s.value for s in self.sliders if measure in s.measures and isinstance(s.value, int | float)]
            bars, _ = bars_of(known, [float(bound) for bound in bounds])
            places = bars.places(values)
            return _Binned(level, bars, places, _counts(places, len(bars.edges) - 1))  # type: ignore[arg-type]
        return None


_LEVELS = ("documents", "images")


def _numbers(study: Study, level: str, measure: str) -> npt.NDArray[np.float64]:
    column = study.facts.image_column(measure) if level == "image" else study.facts.document_column(measure)
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
    if isinstance(value, tuple | bool):
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
