"""The build recipe: what is built, from one YAML file, checked whole before any work.

source: {kind: web_archive, path: dumps/}
fetch:  {timeout_s: 10, allow_private_hosts: []}
dedup:  {memory: 2GB, rank: [images_kept, num_words]}
steps:
- {filter: text_length, min_words: 50}
- {filter: image_size, min_side: 150}
output: {documents_per_shard: 1000}
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from filters.table import FILTERS
from infimm_data.comparing import ComparesEmbeddings, GroupsImages
from infimm_data.config import Settings, build_entry, load_yaml, parse_settings
from infimm_data.document import Document
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.list_files import ReadsFiles
from infimm_data.rules import DUMP_PREFIX, EditsDocument, Filter, MeasuresDocument
from infimm_data.vectors import ScoresEmbeddings, StoresEmbeddings
from pipelines.fetch_settings import FetchSettings
from pipelines.img2dataset_fetcher import check_installed
from pipelines.sources.contract import Source
from pipelines.sources.table import SOURCES


class OutputSettings(Settings):
    """documents_per_shard: documents in one tar, 1 or more."""

    documents_per_shard: int = Field(default=1000, ge=1)


class DedupSettings(Settings):
    """How documents are compared over the whole set.

    rank: measures of documents, the most important first; of several copies the one with the highest stays, then the
    first in the dump. A minus before a name asks for the lowest. "images_kept" counts the images still kept when the
    step is asked, "date" is the page's. memory: bytes that all workers together hold while they compare, and the
    driver while it decides, as a number or like "2GB"; the rest lies on disk, below OUT/groups and in the folder for
    temporary files. against: OUT of a finished build; documents that are
    copies of what its shards hold are dropped.
    """

    rank: tuple[str, ...] = ("images_kept",)
    memory: int | str = "4GB"
    against: str | None = None

    @property
    def memory_bytes(self) -> int:
        """The limit in bytes; raises ConfigError where it is no size or below MIN_MEMORY."""
        return parse_size(self.memory)


MIN_MEMORY = 1_000_000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B", re.IGNORECASE)


def parse_size(size: int | str) -> int:
    """Return bytes of a number or a text like "2GB" (10**9); raises ConfigError where it is none or too small."""
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if isinstance(size, str) and match is None:
        raise ConfigError(f"'{size}' is no size; write bytes as a number, or like 500MB or 2GB")
    found = int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " ")) if match else int(size)
    if found < MIN_MEMORY:
        raise ConfigError(f"{size} is below 1MB, which is the least to compare documents in")
    return found


class _RecipeFile(Settings):
    source: dict[str, Any]
    steps: tuple[Any, ...] = ()
    fetch: FetchSettings = FetchSettings()
    dedup: DedupSettings = DedupSettings()
    output: OutputSettings = OutputSettings()


def plain(value: Any) -> Any:
    """Turn tuples into lists, which YAML writes without tags."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value


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
    dedup: DedupSettings = field(default_factory=DedupSettings)

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
            "dedup": self.dedup.model_dump(mode="json"),
            "steps": [{"filter": step.name, **step.settings()} for step in self.steps],
            "output": self.output.model_dump(mode="json"),
        }


def vectors_of(steps: Sequence[Step], reader: ScoresEmbeddings | ComparesEmbeddings) -> str | None:
    """Return whose vectors a step reads that others of the recipe store; None where none does."""
    for step in steps:
        if step.name == reader.embeddings_of and isinstance(step.filter, StoresEmbeddings):
            return step.filter.stores_vectors_of
    return None


def load_recipe(path: str, *, needs_files: bool = True) -> Recipe:
    """Return the recipe in a YAML file.

    needs_files: whether the lists that steps name must be there: a build reads them, and stores what they say of it.
    Raises ConfigError in one line that names the file, the step, what was found and the nearest valid key.
    """
    read = parse_settings(load_yaml(path), _RecipeFile, where=path)
    if read.fetch.engine == "img2dataset":
        check_installed()
    source = build_entry(SOURCES, read.source, kind_key="kind", where=f"{path}, source")
    steps: list[Step] = []
    for number, entry in enumerate(read.steps, 1):
        where = f"{path}, step {number}"
        built = build_entry(FILTERS, entry, kind_key="filter", where=where)
        if needs_files:
            _check_files(built, f"{where}: {entry['filter']}")
        steps.append(Step(entry["filter"], built))
        _check_step(steps[-1], steps[:-1], read.fetch, where)
    _check_memory(read.dedup, path)
    if needs_files:
        _check_rank(read.dedup, steps, path)
    return Recipe(path, read.source["kind"], source, tuple(steps), read.fetch, read.output, read.dedup)


def _check_files(settings: Filter, where: str) -> None:
    if isinstance(settings, ReadsFiles):
        try:
            settings.check_files()
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def _check_step(step: Step, before: Sequence[Step], fetch: FetchSettings, where: str) -> None:
    """Raise ConfigError on a step that cannot stand there: twice, behind its text, or before what it reads."""
    if step.name in [earlier.name for earlier in before]:
        raise ConfigError(f"{where}: '{step.name}' stands there twice; measures are stored by name, keep one")
    if isinstance(step.filter, ScoresEmbeddings | ComparesEmbeddings) and vectors_of(before, step.filter) is None:
        wanted = step.filter.embeddings_of
        raise ConfigError(
            f"{where}: '{step.name}' reads vectors of '{wanted}', but no such step before it stores any; put "
            f"{{filter: {wanted}, embeddings: image}} before it"
        )
    if isinstance(step.filter, EditsDocument) and not all(isinstance(one.filter, EditsDocument) for one in before):
        raise ConfigError(f"{where}: '{step.name}' changes the text that other steps measure; put it first")
    if isinstance(step.filter, GroupsImages) and fetch.check == "header" and fetch.resize is None:
        raise ConfigError(
            f"{where}: '{step.name}' compares pictures, but 'fetch: {{check: header}}' looks at none; "
            "set check: pixels, or leave the step out"
        )


def _check_memory(dedup: DedupSettings, path: str) -> None:
    """Raise ConfigError on a memory that is no size."""
    try:
        _ = dedup.memory_bytes
    except ConfigError as error:
        raise ConfigError(f"{path}: dedup.memory: {error}") from None


def _check_rank(dedup: DedupSettings, steps: Sequence[Step], path: str) -> None:
    """Raise ConfigError on a rank by what no step measures; filters that look into a list read it to say."""
    nothing = Document(id="", nodes=())
    measured = [
        name for step in steps if isinstance(step.filter, MeasuresDocument) for name in step.filter.measure(nothing)
    ]
    known = ["images_kept", "images_lost", "date", *measured]
    for name in (name.removeprefix("-") for name in dedup.rank):
        if name not in known and not name.startswith(DUMP_PREFIX):
            raise ConfigError(
                f"{path}: dedup.rank: no step measures '{name}'.{did_you_mean(name, known)} There are: "
                f"{', '.join(known)}, and what the dump itself measured, as {DUMP_PREFIX}NAME."
            )
