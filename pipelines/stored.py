"""What a finished build left, read again without its source: its recipe, its work items, its facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import ComparesEmbeddings, GroupsImages
from infimm_data.errors import ConfigError
from infimm_data.files import exists, join
from infimm_data.rules import Mask, measured_with
from infimm_data.tables import read_table
from pipelines.batches import StoredFacts
from pipelines.facts import BatchedFacts, Facts, FoundOfImages
from pipelines.item_tables import load_facts
from pipelines.layout import Layout, refuse_numbered
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
    return honouring_takedowns(load_recipe(layout.recipe, needs_files=False), layout)


def stored_items(layout: Layout) -> list[WorkItem]:
    """Return the work items on which the last run decided, in dump order; raises ConfigError where none was."""
    if not (found := decided_items(layout)):
        raise ConfigError(f"{layout.out}: nothing was decided there yet; {where_a_build_is(layout.out)}")
    return found


def stored_facts(layout: Layout, recipe: Recipe, *, also: Collection[str] = ()) -> StoredFacts:
    """Return what the rules of a stored build read, and no more, within the recipe's memory limit.

    also: measures of rules that are off in the recipe, and may be asked.

    The groups of images are not among them, since they depend on which images are still wanted: `ImageGroups`.
    """
    compared = [step.name for step in recipe.steps if isinstance(step.filter, ComparesEmbeddings)]
    return StoredFacts(layout, [item.key for item in stored_items(layout)], recipe, compared=compared, also=also)


def whole_facts(layout: Layout, recipe: Recipe) -> Facts:
    """Return all measures of a stored build and its keys in memory, without the groups of images."""
    items = [item.key for item in stored_items(layout)]
    facts = add_document_groups(load_facts(layout, items, recipe), recipe.steps, layout, items)
    return add_stored_comparisons(facts, recipe.steps, layout, items)


def stored_incumbents(layout: Layout, items: Sequence[str]) -> Mask | None:
    """Return which documents the stored decisions keep where something was taken down, else None.

    What lay in the shards stayed there, in front of its twins: see `purge`.
    """
    if not exists(layout.purge("urls.txt")):
        return None
    columns = [read_table(layout.decisions("documents", item), columns=["kept"]).column("kept") for item in items]
    return np.concatenate([column.to_numpy() for column in columns])


class ImageGroups:
    """Finds the groups of images under changing steps; the same images are not compared twice."""

    def __init__(self) -> None:
        """Start with no groups known."""
        self._known: dict[str, tuple[npt.NDArray[np.uint8], GroupsImages, FoundOfImages]] = {}

    def compare(self, facts: BatchedFacts, step: Step, live: Mask) -> FoundOfImages:
        """Return what a step measures of the images that are live."""
        assert isinstance(step.filter, GroupsImages)
        told = np.packbits(live)
        known, settings, found = self._known.get(step.name, (None, None, None))
        is_known = known is not None and np.array_equal(known, told)
        if found is None or not is_known or measured_with(settings) != measured_with(step.filter):
            found = group_images(step.filter, facts, live)
            self._known[step.name] = told, step.filter, found
        return found
