"""What a finished build left, read again without its source: its recipe, its work items, its facts."""

from __future__ import annotations

from collections.abc import Sequence

from infimm_data.errors import ConfigError
from infimm_data.files import exists
from infimm_data.rules import GroupsDocuments, GroupsImages
from pipelines.facts import Facts, load_facts
from pipelines.layout import Layout
from pipelines.passes.decide import decide
from pipelines.passes.decisions import decided_items
from pipelines.passes.group import group_column, group_images
from pipelines.recipe import Recipe, Step, load_recipe


def stored_recipe(layout: Layout) -> Recipe:
    """Return the recipe of the build's last run; raises ConfigError where there is no build."""
    if not exists(layout.recipe):
        raise ConfigError(f"{layout.out}: no recipe.yaml there; expected a folder that 'infimm build' wrote")
    return load_recipe(layout.recipe)


def stored_items(layout: Layout) -> list[int]:
    """Return the work items on which the last run decided; raises ConfigError where none was."""
    if not (found := decided_items(layout)):
        raise ConfigError(f"{layout.out}: nothing was decided there yet; run 'infimm build RECIPE --out {layout.out}'")
    return found


def decision_facts(layout: Layout, recipe: Recipe, steps: Sequence[Step]) -> Facts:
    """Return what the rules of `steps` read, and no more: tens of millions of documents fit the driver.

    recipe: of the stored build; steps: its steps, perhaps with other bounds. Groups of images depend on which
    images are still wanted at their step, so they are found anew.
    """
    measures = {rule.measure for step in steps for rule in step.filter.rules()} | {"status"}
    compares_images = any(isinstance(step.filter, GroupsImages) for step in steps)
    items = stored_items(layout)
    facts = load_facts(layout, items, recipe, measures | ({"phash"} if compares_images else set()))
    for step in steps:
        if isinstance(step.filter, GroupsDocuments):
            facts = facts.with_documents({f"{step.name}_group": group_column(step.name, layout, items)})
    for number, step in enumerate(steps):
        if isinstance(step.filter, GroupsImages):
            live = decide(facts, steps[:number]).images.kept
            facts = facts.with_images(group_images(step.filter, facts, live))
    return facts
