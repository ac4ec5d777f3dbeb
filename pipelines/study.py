"""A finished build in memory, to look at: every measure, every verdict, and any document with its pictures.

Memory: the measures of a million documents with 2.5 million images take about 1 GB; texts and pictures stay on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from infimm_data.document import Document
from infimm_data.files import exists, file_system, join
from infimm_data.rules import Level, Mask
from infimm_data.shards import ShardInfo, read_manifest
from infimm_data.tables import read_documents
from pipelines.facts import PURGED, Facts
from pipelines.layout import Layout
from pipelines.passes.decide import FETCHED, decide
from pipelines.passes.outcome import Decisions
from pipelines.passes.values import value_of
from pipelines.passes.verdicts import KEPT, WITH_DOCUMENT, shown
from pipelines.recipe import Recipe
from pipelines.stored import ImageGroups, stored_incumbents, stored_recipe, whole_facts

NO_MEASURES = frozenset({"id", "node", "url", "offset", "sha256", "phash", "status", "stored_sha256"})
"""Columns of the facts that name a row or its bytes, and measure nothing."""

MOST_COPIES = 200  # of one picture that are looked at to find the next one


@dataclass(frozen=True)
class Verdict:
    """What became of a document or an image; reason: "" where it is kept."""

    is_kept: bool
    reason: str
    text: str


@dataclass(frozen=True)
class Study:
    """facts: all measures, the groups of documents included, those of images as the recipe's steps find them.

    measured: the same without the groups of images, which change with the steps before them. incumbents: documents that
    stay in front of their twins, None where nothing was taken down.
    """

    layout: Layout
    recipe: Recipe
    facts: Facts
    measured: Facts
    decisions: Decisions
    incumbents: Mask | None = None

    @property
    def shards(self) -> list[ShardInfo]:
        """The manifest of the result; [] where nothing is packed."""
        is_packed = exists(join(self.layout.shards, "manifest.json"))
        return read_manifest(self.layout.shards) if is_packed else []

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """Return documents by their rows in the facts, in the order asked."""
        found: dict[int, Document] = {}
        items = self.facts.document_item
        for place in dict.fromkeys(int(items[row]) for row in rows):
            here = sorted({row for row in rows if items[row] == place})
            places = [int(self.facts.document_row[row]) for row in here]
            found |= zip(here, read_documents(self.layout.documents(self.facts.items[place]), places), strict=True)
        return [found[row] for row in rows]

    def image_rows(self, row: int) -> dict[int, int]:
        """Return the rows in the facts of a document's images, by the position of their nodes."""
        start, stop = np.searchsorted(self.facts.image_document, [row, row + 1])
        nodes = self.facts.images.column("node").slice(start, stop - start).to_pylist()
        return dict(zip(nodes, range(int(start), int(stop)), strict=True))

    def picture(self, row: int) -> bytes | None:
        """Return the bytes of an image as they were fetched, None where there are none or they are others."""
        table = self.facts.images
        if "offset" not in table.column_names or table.column("status")[row].as_py() != "ok":
            return None
        if self.is_taken_down("image", row) or self.is_taken_down("document", int(self.facts.image_document[row])):
            return None
        offset, size, digest = (table.column(name)[row].as_py() for name in ("offset", "size_bytes", "sha256"))
        fs, inside = file_system(self.layout.image_tar(self.facts.items[int(self.facts.image_item[row])]))
        data = bytes(fs.cat_file(inside, start=offset, end=offset + size))
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def distinct_pictures(self, rows: Sequence[int], count: int) -> list[int]:
        """Return the first rows whose pictures are there and differ in their bytes, at most `count`.

        Of a banner on thousands of pages the first MOST_COPIES copies are passed over; then it is shown again.
        """
        found: dict[str, int] = {}
        digests = self.facts.images.column("sha256")
        for row in rows[: count * MOST_COPIES]:
            if (digest := digests[row].as_py()) is not None:
                found.setdefault(digest, row)
            if len(found) == count:
                break
        return list(found.values())

    def is_taken_down(self, level: Level, row: int) -> bool:
        """Return whether a document or an image was purged: then nothing of it is shown any more."""
        table = self.facts.images if level == "image" else self.facts.documents
        return PURGED in table.column_names and table.column(PURGED)[row].as_py() == 1

    def measures(self, level: Level, row: int) -> dict[str, Any]:
        """Return what was measured on a document or an image, without what was not."""
        table = self.facts.images if level == "image" else self.facts.documents
        names = [name for name in table.column_names if name not in NO_MEASURES]
        values = {name: table.column(name)[row].as_py() for name in names}
        return {name: value for name, value in values.items() if value not in (None, "") and value == value}

    def verdict(self, level: Level, row: int, decisions: Decisions | None = None) -> Verdict:
        """Return what became of a document or an image; decisions: of other thresholds."""
        decisions = decisions or self.decisions
        verdicts = decisions.images if level == "image" else decisions.documents
        line = int(verdicts.line[row])
        if line == KEPT:
            return Verdict(True, "", "kept")
        if line == WITH_DOCUMENT:
            return Verdict(False, "document_dropped", "dropped with its document")
        rule = decisions.funnel[line]
        compared = ""
        if rule.measure.endswith("_group"):
            compared = f": another of its group stays, by {rule.threshold}"
        elif rule.threshold and rule.step != FETCHED:
            compared = f": {shown(value_of(decisions, level, row))}, threshold {rule.threshold}"
        return Verdict(False, rule.reason, f"dropped by {rule.step} as {rule.reason}{compared}")

    def find(self, key: str) -> int | None:
        """Return the row of the document with this id, None where there is none."""
        row = pc.index(self.facts.documents.column("id"), key).as_py()
        return None if row < 0 else int(row)


def load_study(layout: Layout, groups: ImageGroups | None = None) -> Study:
    """Return a build's measures and decisions; raises ConfigError where there is no finished build.

    groups: remembers what it found, for questions that follow.
    """
    recipe = stored_recipe(layout)
    return study_of(layout, recipe, whole_facts(layout, recipe), groups or ImageGroups())


def study_of(layout: Layout, recipe: Recipe, measured: Facts, groups: ImageGroups) -> Study:
    """Return the study of a build whose measures are read; measured: all of them, with the keys."""
    incumbents = stored_incumbents(layout, measured.items)
    decisions = decide(measured, recipe.steps, incumbents=incumbents, images=groups)
    assert isinstance(decisions.facts, Facts)
    return Study(layout, recipe, decisions.facts, measured, decisions, incumbents)
