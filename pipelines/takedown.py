"""Takedowns as the first steps of every decision: what was purged once is in no later build of that folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from infimm_data.files import exists
from infimm_data.rules import AtMost, Level, Rule
from pipelines.facts import PURGED
from pipelines.layout import Layout
from pipelines.recipe import Recipe, Step


@dataclass(frozen=True)
class _TakenDown:
    """Drops what is on the list of the build."""

    def rules(self) -> tuple[Rule, ...]:
        """Return the one rule."""
        return (AtMost(PURGED, 0, "purged"),)


@dataclass(frozen=True)
class DocumentTakedown(_TakenDown):
    """Pages whose own URL is on the list."""

    level: ClassVar[Level] = "document"


@dataclass(frozen=True)
class ImageTakedown(_TakenDown):
    """Images whose URL is on the list; the text around them stays."""

    level: ClassVar[Level] = "image"


def honouring_takedowns(recipe: Recipe, layout: Layout) -> Recipe:
    """Return the recipe with the takedowns of the build as its first steps; unchanged where there were none."""
    if not exists(layout.purge("urls.txt")):
        return recipe
    first = (Step("purge", DocumentTakedown()), Step("purge_images", ImageTakedown()))
    return replace(recipe, steps=(*first, *recipe.steps))
