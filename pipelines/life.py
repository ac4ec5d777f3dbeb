"""The life of a page or an image in a build: its origin, what was measured and decided, and where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.document import short_url
from infimm_data.files import exists, file_system, join
from infimm_data.shards import SampleLocation, read_index, read_manifest
from infimm_data.tables import read_metadata, read_table
from pipelines.item_tables import read_measures
from pipelines.layout import Layout
from pipelines.stored import stored_items

_ID_START = re.compile(r"[0-9a-f]{6,32}")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ImageLife:
    """decision: the row of decisions/images; fetched: of images/, None before the fetch; scores: all measures."""

    decision: Row
    fetched: Row | None
    scores: Row


@dataclass(frozen=True)
class DocumentLife:
    """item: key; origin: of documents/; decision: of decisions/documents; place: in the shards, None: in none."""

    item: str
    origin: Row
    decision: Row
    measures: Row
    images: tuple[ImageLife, ...]
    place: SampleLocation | None


@dataclass(frozen=True)
class SkippedLife:
    """A record of the dump that became no document."""

    item: str
    reason: str
    offset: int
    detail: str


def documents_of(layout: Layout, what: str) -> Iterator[DocumentLife]:
    """Yield every document that `what` names: its id (or six digits of it), its URL, or the URL of its images.

    Reads the ids and URLs of all work items, and the rest only of what matches.
    """
    for item in (one.key for one in stored_items(layout)):
        origins = read_table(layout.documents(item), columns=["id", "dump", "offset", "url", "date", "licence"])
        images = read_table(layout.decisions("images", item))
        found = _matching(origins, images, what)
        for row in origins.filter(found).to_pylist():
            yield _life(layout, item, row, images.filter(pc.equal(images.column("id"), row["id"])).to_pylist())


def _matching(origins: pa.Table, images: pa.Table, what: str) -> pa.Array:
    ids = origins.column("id")
    if _ID_START.fullmatch(what):
        return pc.starts_with(ids, what)
    showing = images.filter(pc.equal(images.column("url"), short_url(what))).column("id")
    return pc.or_(pc.equal(origins.column("url"), what), pc.is_in(ids, value_set=showing.combine_chunks()))


def _life(layout: Layout, item: str, origin: Row, decisions: Sequence[Row]) -> DocumentLife:
    key = origin["id"]
    (decision,) = _rows(layout.decisions("documents", item), "id", [key])
    (measures,) = _rows(layout.document_scores(item), "id", [key])
    place = next((place for place in _places(layout) if place.key == key), None) if decision["kept"] else None
    return DocumentLife(item, origin, decision, measures, _images(layout, item, key, decisions), place)


def _images(layout: Layout, item: str, key: str, decisions: Sequence[Row]) -> tuple[ImageLife, ...]:
    """Return the images of a document; each table is read once for all of them."""
    scores: dict[int, dict[str, Any]] = {}
    for path in (layout.image_scores(item), *_pair_score_files(join(layout.out, "scores"), item)):
        for row in _rows(path, "id", [key]):
            measured = {name: value for name, value in row.items() if name not in ("id", "node", "url")}
            scores.setdefault(row["node"], {}).update(measured)
    fetched = {row["url"]: row for row in _rows(layout.images(item), "url", [row["url"] for row in decisions])}
    return tuple(ImageLife(row, fetched.get(row["url"]), scores.get(row["node"], {})) for row in decisions)


def _pair_score_files(folder: str, item: str) -> list[str]:
    fs, inside = file_system(folder)
    names = sorted(path.rpartition("/")[2] for path in fs.ls(inside, detail=False))
    return [join(folder, name, f"{item}.parquet") for name in names if name not in ("documents", "images")]


def _rows(path: str, name: str, values: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a table whose column is one of `values`; none where it is not there. Signatures stay out."""
    if not exists(path):
        return []
    table = read_measures(path, None, keys=())
    wanted = pc.is_in(table.column(name), value_set=pa.array(values, type=pa.string()))
    return list(table.filter(wanted).to_pylist())


def _places(layout: Layout) -> Iterator[SampleLocation]:
    if exists(join(layout.shards, "manifest.json")):
        for shard in read_manifest(layout.shards):
            yield from read_index(layout.shards, shard)


def skipped_of(layout: Layout, url: str) -> Iterator[SkippedLife]:
    """Yield the records with this URL that became no document, as far as the extract pass named them."""
    for item in (one.key for one in stored_items(layout)):
        for reason, examples in read_metadata(layout.documents(item))[1].get("examples", {}).items():
            for example in examples:
                if example["url"] == url[:500]:
                    yield SkippedLife(item, reason, example["offset"], example["detail"])
