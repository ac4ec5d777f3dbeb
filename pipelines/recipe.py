"""The build recipe: what is built, from one YAML file, checked whole before any work.

source: {kind: web_archive, path: dumps/}
fetch:  {timeout_s: 10, allow_private_hosts: []}
steps:
- {filter: text_length, min_words: 50}
- {filter: image_size, min_side: 150}
output: {documents_per_shard: 1000}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from filters.table import FILTERS
from infimm_data.config import Settings, build_entry, load_yaml, parse_settings
from infimm_data.errors import ConfigError
from infimm_data.rules import EditsDocument, Filter, GroupsImages
from infimm_data.vectors import ScoresEmbeddings, StoresEmbeddings
from pipelines.fetch_settings import FetchSettings
from pipelines.img2dataset_fetcher import check_installed
from pipelines.sources.contract import Source
from pipelines.sources.table import SOURCES


class OutputSettings(Settings):
    """documents_per_shard: documents in one tar, 1 or more."""

    documents_per_shard: int = Field(default=1000, ge=1)


class _RecipeFile(Settings):
    source: dict[str, Any]
    steps: tuple[Any, ...] = ()
    fetch: FetchSettings = FetchSettings()
    output: OutputSettings = OutputSettings()


@dataclass(frozen=True)
class Step:
    """One entry of a recipe: the filter with its settings, under its config name."""

    name: str
    filter: Filter

    def settings(self) -> dict[str, Any]:
        """Return the resolved settings, defaults included, as plain data."""
        return dataclasses.asdict(self.filter)  # type: ignore[call-overload, no-any-return]  # every filter is a dataclass


@dataclass(frozen=True)
class Recipe:
    """A checked recipe; `path` is the file it came from, for messages."""

    path: str
    source_kind: str
    source: Source
    steps: tuple[Step, ...]
    fetch: FetchSettings
    output: OutputSettings

    @property
    def edits(self) -> tuple[Step, ...]:
        """The steps that change the text; they stand before all others."""
        return tuple(step for step in self.steps if isinstance(step.filter, EditsDocument))

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default written out, as plain data for OUT/recipe.yaml."""
        source = dataclasses.asdict(self.source)  # type: ignore[call-overload]  # every source is a dataclass
        return {
            "source": {"kind": self.source_kind, **source},
            "fetch": self.fetch.model_dump(mode="json"),
            "steps": [{"filter": step.name, **step.settings()} for step in self.steps],
            "output": self.output.model_dump(mode="json"),
        }


def vectors_of(steps: Sequence[Step], reader: ScoresEmbeddings) -> str | None:
    """Return whose vectors a step reads that others of the recipe store; None where none does."""
    for step in steps:
        if step.name == reader.embeddings_of and isinstance(step.filter, StoresEmbeddings):
            return step.filter.stores_vectors_of
    return None


def load_recipe(path: str) -> Recipe:
    """Return the recipe in a YAML file.

    Raises ConfigError in one line that names the file, the step, what was found and the nearest valid key.
    """
    read = parse_settings(load_yaml(path), _RecipeFile, where=path)
    if read.fetch.engine == "img2dataset":
        check_installed()
    source = build_entry(SOURCES, read.source, kind_key="kind", where=f"{path}, source")
    steps: list[Step] = []
    for number, entry in enumerate(read.steps, 1):
        where = f"{path}, step {number}"
        step = build_entry(FILTERS, entry, kind_key="filter", where=where)
        if isinstance(step, ScoresEmbeddings) and vectors_of(steps, step) is None:
            raise ConfigError(
                f"{where}: '{entry['filter']}' reads vectors of '{step.embeddings_of}', but no such step before it "
                f"stores any; put {{filter: {step.embeddings_of}, embeddings: image}} before it"
            )
        steps.append(Step(entry["filter"], step))
        if entry["filter"] in [earlier.name for earlier in steps[:-1]]:
            raise ConfigError(f"{where}: '{entry['filter']}' stands there twice; measures are stored by name, keep one")
        if isinstance(step, EditsDocument) and not all(isinstance(earlier.filter, EditsDocument) for earlier in steps):
            raise ConfigError(f"{where}: '{entry['filter']}' changes the text that other steps measure; put it first")
        if isinstance(step, GroupsImages) and read.fetch.check == "header" and read.fetch.resize is None:
            raise ConfigError(
                f"{where}: '{entry['filter']}' compares pictures, but 'fetch: {{check: header}}' looks at none; "
                "set check: pixels, or leave the step out"
            )
    return Recipe(path, read.source["kind"], source, tuple(steps), read.fetch, read.output)
