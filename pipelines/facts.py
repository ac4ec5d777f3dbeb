"""Facts: stored measures of documents and images as columns, without their text: of a whole build, or of a part of it.

Memory: about 8 KB per number column and 1,000 documents; texts, image bytes and signatures stay on disk. Dump order.
A build of any size is decided on part after part: `pipelines.batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import ComparesEmbeddings, GroupsImages
from infimm_data.rules import ByValue, Level, Mask, ScoresPairs
from infimm_data.vectors import ScoresEmbeddings
from pipelines.columns import column_of, encoded, lacking, with_columns
from pipelines.recipe import Step
from pipelines.scratch import Scratch

FETCHED_COLUMNS = (
    "status", "width", "height", "short_side", "long_side", "aspect", "size_bytes", "format", "sha256", "phash",
    "offset", "stored_bytes", "stored_sha256", "stored_format", "stored_width", "stored_height",
)  # fmt: skip
"""What the fetch pass stores per URL and rules may read; null where the image could not be fetched."""

ASSIGNED_COLUMNS = ("assigned_sentence", "assigned_score", "assigned_beside")
"""What the assign pass stores per image; null where no sentence fits."""

AGREEMENT = "assignment_agreement"
"""A measure of documents: the share of their assigned images that stand beside their sentence in reading order."""

EARLIER = "_earlier"
"""Stands after the name of a column of groups: the id of the twin in an earlier dataset."""

DATE = "date"
"""What a rank may name beside measures: when the page was taken, as the dump says; later is higher."""

PURGED = "purged"
"""A measure of documents and images once anything was taken down: 1 where the URL is on the list, else 0."""


@dataclass
class Facts:
    """Measures of all documents and images of a build.

    items: keys of the work items in dump order; documents, images: tables in the same order; document_item,
    image_item: the work item of each row, by its position in `items`; document_row: its row in the item's documents
    file; image_document: the row in `documents` of each image.
    rank: which of several copies stays, as the recipe's `dedup.rank` names measures; dates: of each document, in
    their order, NaN where unknown; loaded where the rank asks. first_document, first_image: of a part of a build, how
    many there are before it; nullable: whole numbers that are unknown of some rows of the whole build; stored: gives
    the names of all measures of a level, where the tables have those that were asked for.
    """

    items: Sequence[str]
    documents: pa.Table
    images: pa.Table
    document_item: npt.NDArray[np.int64]
    document_row: npt.NDArray[np.int64]
    image_item: npt.NDArray[np.int64]
    image_document: npt.NDArray[np.int64]
    rank: tuple[str, ...] = ("images_kept",)
    dates: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    first_document: int = 0
    first_image: int = 0
    nullable: frozenset[str] = frozenset()
    stored: Callable[[Level], Sequence[str]] = lambda level: ()

    def batches(self) -> Iterator[Facts]:
        """Yield the facts part after part; here all at once."""
        yield self

    @property
    def scratch(self) -> Scratch:
        """Room for what is held per document; what is in memory anyway has no limit."""
        return Scratch(1 << 62)

    @property
    def images_at_once(self) -> int:
        """Images that a comparison may hold beside what it holds of all."""
        return 1 << 40

    @property
    def document_rows(self) -> slice:
        """Where these documents stand in the build."""
        return slice(self.first_document, self.first_document + self.num_documents)

    @property
    def image_rows(self) -> slice:
        """Where these images stand in the build."""
        return slice(self.first_image, self.first_image + self.num_images)

    @property
    def num_documents(self) -> int:
        """Documents that the dump gave."""
        return len(self.document_row)

    @property
    def num_images(self) -> int:
        """Image nodes of all documents."""
        return len(self.image_document)

    def document_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """Return one measure of all documents: float64 with NaN, or objects with None.

        is_optional: what nobody has measured is unknown of every row; else ConfigError.
        """
        return column_of(self.documents, measure, is_optional, self.nullable, lambda: self.stored("document"))

    def image_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """Return one measure of all images, as `document_column` does."""
        return column_of(self.images, measure, is_optional, self.nullable, lambda: self.stored("image"))

    def value(self, level: Level, measure: str, row: int) -> Any:
        """Return one measure of one row, as its column has it."""
        table = self.images if level == "image" else self.documents
        return column_of(table.slice(row, 1), measure, True, self.nullable | lacking(table, measure))[0]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.items)}

    def passing(self, level: Level, rule: ByValue, values: npt.NDArray[Any]) -> Mask:
        """Return which rows pass a rule; values: of its measure, one per row of the level."""
        return rule.passes(values)

    def document_groups(self, measure: str) -> npt.NDArray[np.int64]:
        """Return the group of each document as a number, -1 where it has none; equal numbers, equal groups."""
        if not self.num_documents:
            return np.empty(0, dtype=np.int64)
        if pa.types.is_integer(self.documents.column(measure).type):  # numbered where they were read
            return np.asarray(self.documents.column(measure).to_numpy(), dtype=np.int64)
        slugs = encoded(self.documents.column(measure))
        return np.asarray(pc.fill_null(slugs.indices, -1).to_numpy(zero_copy_only=False)).astype(np.int64)

    def earlier(self, measure: str) -> npt.NDArray[np.int64] | None:
        """Return the rows that have a twin in an earlier dataset, ascending.

        measure: a column of groups. None where the build is compared with no earlier dataset.
        """
        name = f"{measure}{EARLIER}"
        if name not in self.documents.column_names:
            return None
        return np.flatnonzero(self.documents.column(name).is_valid().to_numpy())

    def texts(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return a column of texts of documents at these rows, in their order: their ids, or those of twins.

        Where no ids were loaded the rows themselves stand for them.
        """
        if name not in self.documents.column_names:
            return [str(row) for row in rows.tolist()]
        found: list[str] = self.documents.column(name).take(pa.array(rows)).to_pylist()
        return found

    def rows_of_item(self, item: str) -> slice:
        """Return where the documents of a work item (by its key) stand in the build."""
        start, stop = np.searchsorted(self.document_item, [self._places[item], self._places[item] + 1])
        return slice(self.first_document + int(start), self.first_document + int(stop))

    def of_item(self, item: str, _columns: Mapping[Level, Sequence[str]] | None = None) -> Facts:
        """Return the facts of one work item, by its key."""
        place = self._places[item]
        start, stop = (int(at) for at in np.searchsorted(self.document_item, [place, place + 1]))
        first, last = (int(at) for at in np.searchsorted(self.image_item, [place, place + 1]))
        return replace(
            self,
            items=(item,),
            documents=self.documents.slice(start, stop - start),
            images=self.images.slice(first, last - first),
            document_item=np.zeros(stop - start, dtype=np.int64),
            document_row=self.document_row[start:stop],
            image_item=np.zeros(last - first, dtype=np.int64),
            image_document=self.image_document[first:last] - start,
            dates=self.dates[start:stop],
            first_document=self.first_document + start,
            first_image=self.first_image + first,
        )

    def with_images(self, columns: dict[str, Any]) -> Facts:
        """Return the facts with more measures of images."""
        return replace(self, images=with_columns(self.images, columns))

    def with_documents(self, columns: dict[str, Any]) -> Facts:
        """Return the facts with more measures of documents."""
        return replace(self, documents=with_columns(self.documents, columns))

    def with_found(self, found: FoundOfImages) -> Facts:
        """Return the facts with what was found of some images; unknown of the others."""
        return self.with_images({name: found.spread(name, self.image_rows) for name in found.columns})


@dataclass(frozen=True)
class FoundOfImages:
    """What a comparison found of some images of a build.

    rows: of the images, ascending, in the whole build; columns: measures by name, a value for each of these.
    """

    rows: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[Any]]

    def spread(self, name: str, rows: slice) -> npt.NDArray[Any]:
        """Return a measure of the images of a part of the build: None or NaN where it was not found."""
        values = self.columns[name]
        found = np.full(rows.stop - rows.start, None if values.dtype == object else np.nan, dtype=values.dtype)
        first, last = np.searchsorted(self.rows, [rows.start, rows.stop])
        found[self.rows[first:last] - rows.start] = values[first:last]
        return found


class BatchedFacts(Protocol):
    """The facts of a build: all at once (`Facts`) or part after part (`pipelines.batches.StoredFacts`)."""

    @property
    def rank(self) -> tuple[str, ...]:
        """As of `Facts`."""
        ...

    @property
    def num_documents(self) -> int:
        """As of `Facts`."""
        ...

    @property
    def num_images(self) -> int:
        """As of `Facts`."""
        ...

    def batches(self) -> Iterator[Facts]:
        """Yield the facts part after part, in dump order."""
        ...

    @property
    def items(self) -> Sequence[str]:
        """As of `Facts`."""
        ...

    @property
    def scratch(self) -> Scratch:
        """Room for what is held per document."""
        ...

    @property
    def images_at_once(self) -> int:
        """Images that a comparison may hold beside what it holds of all."""
        ...

    def rows_of_item(self, item: str) -> slice:
        """Return where the documents of a work item (by its key) stand in the build."""
        ...

    def of_item(self, item: str, columns: Mapping[Level, Sequence[str]] | None = None) -> Facts:
        """Return all that is stored of one work item; columns: by level, of these alone."""
        ...

    def texts(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return a column of texts of documents at these rows."""
        ...

    def with_found(self, found: FoundOfImages) -> BatchedFacts:
        """Return the facts with more measures of images."""
        ...


def needs_pixels(step: Step) -> bool:
    """Return whether a step must wait for the fetch pass."""
    if isinstance(step.filter, GroupsImages | ScoresPairs | ScoresEmbeddings | ComparesEmbeddings):
        return True
    measures = {rule.measure for rule in step.filter.rules()}
    return bool(measures & {*FETCHED_COLUMNS, "images_kept", "images_lost"})
