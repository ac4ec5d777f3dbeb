"""The facts of a build of any size: read once, then kept on disk as columns, and handed out a batch at a time.

A batch is as many work items as fit a share of the recipe's `dedup.memory`; where all fit, they stay in memory. What is
decided does not depend on how it is cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import ComparesEmbeddings, CountsImageUrls, GroupsDocuments, GroupsImages
from infimm_data.rules import FirstOfGroup, GroupAtMost, Level
from infimm_data.tables import read_table
from pipelines.dedup.embeddings import MEASURE as SIMILARITY
from pipelines.dedup.signatures import num_rows
from pipelines.dedup.url_counts import MEASURE as URL_COUNT
from pipelines.facts import AGREEMENT, DATE, Facts, FoundOfImages
from pipelines.grouped import GroupTable
from pipelines.item_tables import dates_of, load_facts
from pipelines.layout import Layout
from pipelines.recipe import Recipe, Step
from pipelines.scratch import Scratch, on_disk

ROW_BYTES = 400  # of a document or an image while rules are asked; benchmarks/decide.py takes 165, wider ones more
IMAGE_BYTES = 100  # of an image while pictures are compared, beside what is held of all of them
_OWNER = "\0document"  # a column of images in the file of a batch: the row of their document


_Tables = tuple[pa.Table, pa.Table]  # of the documents and of the images of a batch


@dataclass(frozen=True)
class _Batch:
    """Work items that are asked together. sizes: documents and images of each."""

    items: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    first_document: int
    first_image: int


class StoredFacts:
    """What rules read of all documents and images of a build; `pipelines.facts.BatchedFacts`."""

    def __init__(
        self, layout: Layout, items: Sequence[str], recipe: Recipe,
        *, compared: Collection[str] = (), found: Sequence[FoundOfImages] = (), also: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Read the measures that the recipe's rules and rank name.

        also: measures of rules that are off in the recipe, and may be asked; compared: steps whose comparison of
        embeddings is stored below groups/; found: what was found of images.
        """
        self.layout, self.items, self._recipe = layout, tuple(items), recipe
        self.rank = recipe.dedup.rank
        self._measures = measures_of(recipe) | set(also)
        memory = recipe.dedup.memory_bytes
        self.scratch = Scratch(memory // 4)
        self.images_at_once = memory // 4 // IMAGE_BYTES
        self._found = tuple(found)
        self._compared = frozenset(compared)
        sizes = [(num_rows(layout.document_scores(item)), num_rows(layout.image_scores(item))) for item in items]
        self._starts = dict(zip(items, _before(sizes), strict=True))
        self._rows = {
            item: slice(start, start + size)
            for (item, (start, _)), (size, _) in zip(self._starts.items(), sizes, strict=True)
        }
        self.num_documents, self.num_images = (sum(size[at] for size in sizes) for at in (0, 1))
        self._batches = _cut(self.items, sizes, max(1, memory // 2 // ROW_BYTES))
        self._texts_seen: dict[str, pa.Array] = {}
        self._kept: list[Facts | _Tables] = [self._load(batch) for batch in self._batches]

    @cached_property
    def _tables(self) -> dict[str, GroupTable]:
        """What each comparing step found, by its name."""
        steps = [step for step in self._recipe.steps if _is_stored(step, self._compared)]
        return {step.name: GroupTable(self.layout.groups(step.name)) for step in steps}

    @cached_property
    def _known_dates(self) -> pa.Array | None:
        is_dated = DATE in {name.removeprefix("-") for name in self.rank}
        return dates_of(self.layout, self.items) if is_dated else None

    def batches(self) -> Iterator[Facts]:
        """Yield the facts of some work items after the other, in dump order."""
        for batch, kept in zip(self._batches, self._kept, strict=True):
            facts = kept if isinstance(kept, Facts) else self._read(batch, kept)
            for found in self._found:
                facts = facts.with_found(found)
            yield replace(facts, stored=self._stored)

    def _stored(self, level: Level) -> list[str]:
        """Return the names of all that is stored of the first work item, for an error to name them."""
        facts = self.of_item(self.items[0])
        names: list[str] = (facts.images if level == "image" else facts.documents).column_names
        return names

    def rows_of_item(self, item: str) -> slice:
        """Return where the documents of a work item (by its key) stand in the build."""
        return self._rows[item]

    def of_item(self, item: str, columns: Mapping[Level, Sequence[str]] | None = None) -> Facts:
        """Return all that is stored of one work item, with the keys; columns: by level, of these measures alone."""
        wanted = None if columns is None else {name for names in columns.values() for name in names}
        facts = load_facts(self.layout, [item], self._recipe, wanted, keys=True, known_dates=self._known_dates)
        first_document, first_image = self._starts[item]
        facts = replace(facts, first_document=first_document, first_image=first_image)
        for table in self._tables.values():
            names = [name for name in table.column_names() if wanted is None or name in wanted]
            is_of_images = {URL_COUNT, SIMILARITY} & set(names)
            found = {name: table.rows([item], [name]).column(name) for name in names}
            facts = facts.with_images(found) if is_of_images else facts.with_documents(found)
        for one in self._found:
            names = [name for name in one.columns if wanted is None or name in wanted]
            facts = facts.with_found(FoundOfImages(one.rows, {name: one.columns[name] for name in names}))
        return facts

    def texts(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return the ids of documents at these rows, in their order, or those of their twins in an earlier dataset."""
        order = np.argsort(rows, kind="stable")
        found: list[str] = [""] * len(rows)
        table = next((one for one in self._tables.values() if name in one.column_names()), None)
        starts = np.array([self._starts[item][0] for item in self.items], dtype=np.int64)
        places = np.searchsorted(starts, rows[order], side="right") - 1  # the last of those that start there has rows
        for place in np.unique(places).tolist():
            here, item = order[places == place], self.items[place]
            at = pa.array(rows[here] - starts[place])
            column = table.rows([item], [name]) if table else read_table(self.layout.document_scores(item), [name])
            for position, text in zip(here.tolist(), column.column(name).take(at).to_pylist(), strict=True):
                found[position] = text
        return found

    def with_found(self, found: FoundOfImages) -> StoredFacts:
        """Return the facts with more measures of images; what was read is shared."""
        other = object.__new__(StoredFacts)
        other.__dict__ |= self.__dict__
        other._found = (*self._found, found)
        return other

    def _load(self, batch: _Batch) -> Facts | _Tables:
        """Read a batch from the tables of its work items; return it, or its columns on disk where there are several."""
        facts = load_facts(self.layout, batch.items, self._recipe, self._measures, known_dates=self._known_dates)
        facts = replace(facts, first_document=batch.first_document, first_image=batch.first_image)
        for name, table in self._tables.items():
            found = table.rows(batch.items, table.column_names())
            columns = {one: found.column(one) for one in found.column_names}
            if f"{name}_group" in columns:
                columns[f"{name}_group"] = table.numbers(columns[f"{name}_group"])
            is_of_images = {URL_COUNT, SIMILARITY} & set(columns)
            facts = facts.with_images(columns) if is_of_images else facts.with_documents(columns)
        facts = facts.with_documents({
            name: self._numbered(name, facts.documents.column(name))
            for name in _grouping_measures(self._recipe.steps)
            if name in facts.documents.column_names and pa.types.is_string(facts.documents.column(name).type)
        })  # fmt: skip
        if len(self._batches) == 1:
            return facts
        images = facts.images.append_column(_OWNER, pa.array(facts.image_document.astype(np.int32)))
        if len(facts.dates):
            facts = facts.with_documents({DATE: facts.dates})
        return on_disk(facts.documents), on_disk(images)

    def _numbered(self, name: str, texts: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Return texts as numbers that are equal where the texts are, over all batches; -1 for null."""
        seen = self._texts_seen.get(name, pa.array([], type=pa.string()))
        here = pc.unique(texts).drop_null()
        new = here.filter(pc.invert(pc.is_in(here, value_set=seen)))
        seen = self._texts_seen[name] = pa.concat_arrays([seen, new])
        return np.asarray(pc.fill_null(pc.index_in(texts, value_set=seen), -1).to_numpy()).astype(np.int64)

    @cached_property
    def _schemas(self) -> tuple[pa.Schema, pa.Schema, frozenset[str]]:
        """The columns of all batches, of documents and of images, and those whole numbers that some rows lack."""
        nullable, found = set(), []
        for level in (0, 1):
            schemas = []
            for batch in self._kept:
                assert not isinstance(batch, Facts)
                table = batch[level]
                schemas.append(table.schema)
                nullable |= {name for name in table.column_names if table.column(name).null_count}
            found.append(pa.unify_schemas(schemas, promote_options="permissive"))
            nullable |= {name for name in found[-1].names if not all(name in schema.names for schema in schemas)}
        return found[0], found[1], frozenset(nullable)

    def _read(self, batch: _Batch, tables: _Tables) -> Facts:
        of_documents, of_images, nullable = self._schemas
        documents, images = _unified(tables[0], of_documents), _unified(tables[1], of_images)
        dates = documents.column(DATE).to_numpy() if self._known_dates is not None else np.empty(0)
        num_documents = np.array([size for size, _ in batch.sizes])
        return Facts(
            items=batch.items,
            documents=documents.drop_columns([DATE]) if self._known_dates is not None else documents,
            images=images.drop_columns([_OWNER]),
            document_item=np.repeat(np.arange(len(batch.items)), num_documents),
            document_row=np.concatenate([np.arange(size) for size in num_documents.tolist()]),
            image_item=np.repeat(np.arange(len(batch.items)), [size for _, size in batch.sizes]),
            image_document=images.column(_OWNER).to_numpy().astype(np.int64),
            rank=self.rank,
            dates=dates,
            first_document=batch.first_document,
            first_image=batch.first_image,
            nullable=nullable,
        )


def measures_of(recipe: Recipe) -> set[str]:
    """Return the measures that deciding needs, and no more."""
    measures = {rule.measure for step in recipe.steps for rule in step.filter.rules()} | {"status"}
    measures |= {name.removeprefix("-") for name in recipe.dedup.rank}  # also where no rule asks for it
    if AGREEMENT in measures:
        measures.add("assigned_beside")
    return measures | {
        name for step in recipe.steps if isinstance(step.filter, GroupsImages) for name in step.filter.compares
    }


def _is_stored(step: Step, compared: Collection[str]) -> bool:
    """Return whether what a comparing step found is read from groups/."""
    if isinstance(step.filter, ComparesEmbeddings):
        return step.name in compared
    return isinstance(step.filter, GroupsDocuments | CountsImageUrls)


def _grouping_measures(steps: Sequence[Step]) -> set[str]:
    """Return the measures of which rules ask alone whether they are equal."""
    return {r.measure for step in steps for r in step.filter.rules() if isinstance(r, FirstOfGroup | GroupAtMost)}


def _before(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return how many documents and images stand before each work item."""
    found, documents, images = [], 0, 0
    for num_documents, num_images in sizes:
        found.append((documents, images))
        documents, images = documents + num_documents, images + num_images
    return found


def _cut(items: Sequence[str], sizes: Sequence[tuple[int, int]], most_rows: int) -> list[_Batch]:
    """Return work items in batches of at most so many rows, but for one that is larger alone."""
    found: list[_Batch] = []
    start, held = 0, 0
    before = _before(sizes)
    for at, size in enumerate(sizes):
        if at > start and held + sum(size) > most_rows:
            found.append(_Batch(tuple(items[start:at]), tuple(sizes[start:at]), *before[start]))
            start, held = at, 0
        held += sum(size)
    return [*found, _Batch(tuple(items[start:]), tuple(sizes[start:]), *before[start])]


def _unified(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with all columns of a schema, null where it has none."""
    columns: dict[str, Any] = {
        one.name: pc.cast(table.column(one.name), one.type)
        if one.name in table.column_names
        else pa.nulls(table.num_rows, one.type)
        for one in schema
    }
    return pa.table(columns) if columns else table
