"""What if a threshold were another? Decides again from the stored measures, in memory, and writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from filters.table import FILTERS
from infimm_data.config import build_entry
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.rules import EditsDocument, Mask, measured_with
from infimm_data.yaml_loader import Loader
from pipelines.facts import BatchedFacts
from pipelines.layout import Layout
from pipelines.passes.decide import FETCHED, decide
from pipelines.passes.outcome import Decisions
from pipelines.recipe import Step
from pipelines.stored import ImageGroups, stored_facts, stored_incumbents, stored_recipe


@dataclass(frozen=True)
class Recount:
    """Decisions as they are and as they would be; num_unmeasured: images that a looser step lets through to a fetch
    or a score that was never made for them; they count as dropped, where a build would measure them.
    """

    now: Decisions
    then: Decisions
    num_unmeasured: int


class WhatIf:
    """Answers for one build, question after question; facts: its stored facts, without groups of images.

    incumbents: as `decide` takes them: after a takedown, twins stand as they do in the shards, now and then, so that
    what differs is the threshold's doing.
    """

    def __init__(
        self, facts: BatchedFacts, steps: Sequence[Step],
        groups: ImageGroups | None = None, incumbents: Mask | None = None,
    ) -> None:  # fmt: skip
        """Decide as the build, or the takedown after it, did."""
        self._facts, self.steps, self._groups = facts, tuple(steps), groups or ImageGroups()
        self._incumbents = incumbents
        self.now = self._decide(self.steps)
        self._num_unmeasured = _unmeasured(self.now)

    def _decide(self, steps: Sequence[Step]) -> Decisions:
        return decide(self._facts, steps, images=self._groups, incumbents=self._incumbents)

    def ask(self, changes: Sequence[str]) -> Recount:
        """Return the recount under changed bounds, as `what_if` takes them."""
        then = self._decide(changed_steps(self.steps, changes))
        return Recount(self.now, then, max(0, _unmeasured(then) - self._num_unmeasured))


def what_if(layout: Layout, changes: Sequence[str]) -> Recount:
    """Return the recount of a build under changed bounds.

    changes: `text_length.min_words=20`, or `clip=0.27` where a step has one bound (the start of a step's name will
    do), or `image_heads.keep_at_most.nsfw=0.2` where bounds have names. Raises ConfigError on an unknown step, key or
    value, and on a setting that shapes what is measured.
    """
    recipe = stored_recipe(layout)
    then = changed_steps(recipe.steps, changes)  # a misspelt change is said before anything is read
    facts = stored_facts(layout, recipe, also={rule.measure for step in then for rule in step.filter.rules()})
    return WhatIf(facts, recipe.steps, incumbents=stored_incumbents(layout, facts.items)).ask(changes)


def changed_steps(steps: Sequence[Step], changes: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps with the changes in them."""
    found = list(steps)
    for change in changes:
        place, key, value = _parse(change, found)
        old = found[place]
        if isinstance(old.filter, EditsDocument):
            raise ConfigError(
                f"{change}: {old.name} edits the text that is measured; change the recipe and build again"
            )
        entry = {"filter": old.name, **old.settings(), **bound(old.filter, key, value)}
        new = build_entry(FILTERS, entry, kind_key="filter", where=change)
        if measured_with(new) != measured_with(old.filter):
            raise ConfigError(f"{change}: '{key}' shapes what {old.name} measures; change the recipe and build again")
        found[place] = Step(old.name, new)
    return tuple(found)


def bound(settings: Any, key: str, value: Any) -> dict[str, Any]:
    """Return a bound of a filter by its field; `at_least.clip` is an entry of the bounds by name, None takes it out."""
    name, dot, entry = key.partition(".")
    bounds = getattr(settings, name, None)
    if not dot or not isinstance(bounds, Mapping):
        return {key: value}
    return {name: {one: old for one, old in {**bounds, entry: value}.items() if old is not None}}


def _parse(change: str, steps: Sequence[Step]) -> tuple[int, str, Any]:
    """Return (position of the step, key, value) of `step.key=value` or `step=value`."""
    left, equals, right = change.partition("=")
    if not equals:
        raise ConfigError(f"{change}: expected STEP.KEY=VALUE, e.g. text_length.min_words=20")
    name, _, key = left.partition(".")
    names = [step.name for step in steps]
    matching = [name] if name in names else [known for known in names if name and known.startswith(name)]
    if len(matching) != 1:
        found = f"{' and '.join(matching)} begin with it." if matching else "no such step in the build's recipe."
        near = "" if matching else did_you_mean(name, names)
        raise ConfigError(f"{change}: '{name}': {found}{near} There are: {', '.join(names)}.")
    place = names.index(matching[0])
    try:
        value = yaml.load(right, Loader=Loader)  # noqa: S506  # a SafeLoader of ours
    except yaml.YAMLError:
        raise ConfigError(f"{change}: '{right}' is no YAML value; expected e.g. 20, 0.27, null or [en, de]") from None
    return place, key or _only_bound(change, steps[place]), value


def _only_bound(change: str, step: Step) -> str:
    """Return the one bound of a step that is on."""
    fields = [field.name for field in dataclasses.fields(step.filter)]  # type: ignore[arg-type]  # filters are dataclasses
    bounds = [name for name in fields if name not in measured_with(step.filter)]
    on = [name for name in bounds if getattr(step.filter, name) is not None] or bounds
    if len(on) != 1:
        which = f"has the bounds {', '.join(bounds)}" if bounds else "has no bound"
        raise ConfigError(f"{change}: {step.name} {which}; write STEP.KEY=VALUE")
    return on[0]


def _unmeasured(found: Decisions) -> int:
    """Count the images dropped because nothing was measured where a looser step now asks: no fetch, no score."""
    lines = (line.dropped for line in found.funnel if line.step == FETCHED and line.reason == "not_fetched")
    return found.num_unmeasured + sum(lines)
