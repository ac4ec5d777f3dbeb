"""What a finished build left, read again without its source: its recipe, its work items, its facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from infimm_data.comparing import GroupsImages
from infimm_data.errors import ConfigError
from infimm_data.files import exists, join
from infimm_data.rules import Mask, measured_with
from pipelines.facts import Facts, load_facts
from pipelines.layout import Layout, refuse_numbered
from pipelines.passes.decide import decide
from pipelines.passes.decisions import decided_items
from pipelines.passes.group import add_document_groups, add_stored_comparisons, group_images
from pipelines.recipe import Recipe, Step, load_recipe
from pipelines.sources.contract import WorkItem
from pipelines.takedown import honouring_takedowns


def where_a_build_is(out: str) -> str:
    """Return what to do where `out` holds no build: the demo's lies one folder deeper."""
    deeper = join(out, "build")
    return f"try {deeper}" if exists(Layout(deeper).recipe) else f"run 'infimm build RECIPE --out {out}'"


def stored_recipe(layout: Layout) -> Recipe:
    """Return the recipe of the build's last run, takedowns honoured; raises ConfigError where there is no build."""
    refuse_numbered(layout)
    if not exists(layout.recipe):
        raise ConfigError(f"{layout.out}: no recipe.yaml there; {where_a_build_is(layout.out)}")
    return honouring_takedowns(load_recipe(layout.recipe), layout)


def stored_items(layout: Layout) -> list[WorkItem]:
    """Return the work items on which the last run decided, in dump order; raises ConfigError where none was."""
    if not (found := decided_items(layout)):
        raise ConfigError(f"{layout.out}: nothing was decided there yet; {where_a_build_is(layout.out)}")
    return found


def stored_facts(layout: Layout, recipe: Recipe, *, is_whole: bool = False) -> Facts:
    """Return what the rules of a stored build read, and no more: tens of millions of documents fit the driver.

    is_whole: all measures and the keys instead. The groups of images are not among them, since they depend on which
    images are still wanted: `ImageGroups`.
    """
    measures = {rule.measure for step in recipe.steps for rule in step.filter.rules()} | {"status"}
    measures |= {name.removeprefix("-") for name in recipe.dedup.rank}  # also where no rule asks for it
    compared = {name for step in recipe.steps if isinstance(step.filter, GroupsImages) for name in step.filter.compares}
    items = [item.key for item in stored_items(layout)]
    facts = load_facts(layout, items, recipe, None if is_whole else measures | compared)
    facts = add_document_groups(facts, recipe.steps, layout, items)
    return add_stored_comparisons(facts, recipe.steps, layout, items)


class ImageGroups:
    """Finds the groups of images under changing steps; the same images are not compared twice."""

    def __init__(self) -> None:
        """Start with no groups known."""
        self._known: dict[str, tuple[Mask, GroupsImages, dict[str, Any]]] = {}

    def add_to(self, facts: Facts, steps: Sequence[Step], incumbents: Mask | None = None) -> Facts:
        """Return the facts with the groups of the images still wanted at each step; incumbents: as `decide` takes."""
        for number, step in enumerate(steps):
            if isinstance(step.filter, GroupsImages):
                live = decide(facts, steps[:number], incumbents=incumbents).images.kept
                known, settings, columns = self._known.get(step.name, (None, None, {}))
                is_known = known is not None and np.array_equal(known, live)
                if not is_known or measured_with(settings) != measured_with(step.filter):
                    columns = group_images(step.filter, facts, live)
                    self._known[step.name] = live, step.filter, columns
                facts = facts.with_images(columns)
        return facts
