"""Pack pass: kept documents with their kept images -> shards, each written whole, equal inputs giving equal bytes.

Documents stand in dump order; the stream shuffles them when it reads. A shard whose documents, images, scores
and measures did not change is not written again.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import IO, Any

import numpy as np
import pyarrow as pa

from infimm_data.assignment import in_assigned_order
from infimm_data.document import Document, ImageNode, Measure, Node, TextNode
from infimm_data.errors import InfiMMError
from infimm_data.files import file_system, join, remove
from infimm_data.rules import AssignsImages
from infimm_data.shards import (
    Sample,
    ShardInfo,
    finished_shard,
    index_name,
    shard_name,
    write_manifest,
    write_shard,
)
from infimm_data.tables import fingerprint, read_documents
from pipelines.executor import Task
from pipelines.facts import FETCHED_COLUMNS, PURGED, BatchedFacts, Facts
from pipelines.layout import Layout
from pipelines.passes.outcome import Decisions
from pipelines.passes.verdicts import KEPT
from pipelines.rates import IN
from pipelines.run import Run

VERSION = 1  # raise when the packing changes what it writes, so that old shards are written again
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif"}
_OUR_FILE = re.compile(r"\d{5,}\.(tar|index\.parquet)")


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image of a planned document: its node, its bytes in the image tar of the item, its measures.

    place: the sentence before which it goes, None where it stays in reading order.
    """

    node: int
    offset: int
    size_bytes: int
    sha256: str
    format: str
    width: int
    height: int
    scores: Mapping[str, Measure]
    place: int | None = None


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """A planned sample: where its document lies (key of its item, row), which images stay, what was measured on it."""

    item: str
    row: int
    id: str
    images: tuple[KeptImage, ...]
    measures: Mapping[str, Measure]


def pack(run: Run, facts: BatchedFacts, decisions: Decisions) -> None:
    """Write the shards that changed, delete those of an earlier, larger result, and write the manifest last.

    Raises InfiMMError when a shard cannot be written.
    """
    folder = run.layout.shards
    shards: list[ShardInfo | None] = []
    tasks = []
    steps = run.recipe.steps
    is_placed = any(isinstance(s.filter, AssignsImages) and s.filter.order == "assignment" for s in steps)
    size = run.recipe.output.documents_per_shard
    for number, plan in enumerate(shard_plans(facts, decisions, size, is_placed=is_placed)):
        print_ = pack_print(run, plan)
        shards.append(finished_shard(folder, number, fingerprint=print_))
        if shards[-1] is None:
            tasks.append(Task(shard_name(number), (number, plan, run.layout, print_)))
    if tasks:
        remove(join(folder, "manifest.json"))  # a folder with a manifest is a finished set of shards
    report = run.cluster.run("pack", pack_shard, tasks, counted=_documents)
    run.reports.append(report)
    for failure in report.failures:
        raise InfiMMError(f"pack: {failure.name}: {failure.problem}")
    written = iter(report.results)
    run.shards = [shard or next(written) for shard in shards]
    write_manifest(folder, run.shards)
    _remove_surplus(folder, len(run.shards))


def _documents(shard: ShardInfo) -> dict[str, int]:
    return {IN: shard.num_documents}


def pack_print(run: Run, plan: Sequence[KeptDocument]) -> str:
    """Return the fingerprint of a shard: its documents as they were extracted, and all that goes with them."""
    documents = [run.prints[item] for item in dict.fromkeys(document.item for document in plan)]
    rows = [(d.item, d.row, d.id, d.measures, [_content(image) for image in d.images]) for d in plan]
    return fingerprint("pack", VERSION, documents, rows)


def _content(image: KeptImage) -> tuple[Any, ...]:
    """Return what of an image reaches the shard: where its bytes lie in its tar does not."""
    return tuple(getattr(image, name) for name in KeptImage.__slots__ if name != "offset")


def _remove_surplus(folder: str, keep: int) -> None:
    """Delete shards and indices that the manifest does not name; files of others stay."""
    fs, inside = file_system(folder)
    fs.invalidate_cache()
    wanted = {shard_name(n) for n in range(keep)} | {index_name(shard_name(n)) for n in range(keep)}
    for path in fs.ls(inside, detail=False):
        name = path.rpartition("/")[2]
        if name not in wanted and _OUR_FILE.fullmatch(name):
            fs.rm_file(path)


def shard_plans(
    facts: BatchedFacts, decisions: Decisions, documents_per_shard: int, *, is_placed: bool = False
) -> Iterator[list[KeptDocument]]:
    """Yield what goes into each shard, in dump order; shards are of equal size but the last.

    is_placed: whether images go before the sentence that was assigned to them.
    """
    documents = chain.from_iterable(_kept_documents(facts.of_item(item), decisions, is_placed) for item in facts.items)
    while plan := list(islice(documents, documents_per_shard)):
        yield plan


def _kept_documents(facts: Facts, decisions: Decisions, is_placed: bool) -> Iterator[KeptDocument]:
    """Yield the kept documents of one work item with their kept images."""
    extra = [name for name in facts.images.column_names if name not in ("id", "node", "url", PURGED, *FETCHED_COLUMNS)]
    images = np.flatnonzero(decisions.images.line[facts.image_rows] == KEPT)
    of_document: dict[int, list[KeptImage]] = {}
    for row, data in zip(images, facts.images.take(pa.array(images)).to_pylist(), strict=True):
        scores = _measured({name: data[name] for name in extra} | _as_it_came(data))
        place = scores.get("assigned_sentence") if is_placed else None
        image = KeptImage(
            node=data["node"], offset=data["offset"], size_bytes=data["stored_bytes"], sha256=data["stored_sha256"],
            format=data["stored_format"], width=data["stored_width"], height=data["stored_height"],
            scores=scores, place=None if place is None else int(place),
        )  # fmt: skip
        of_document.setdefault(int(facts.image_document[row]), []).append(image)
    documents = np.flatnonzero(decisions.documents.line[facts.document_rows] == KEPT)
    for row, data in zip(documents, facts.documents.take(pa.array(documents)).to_pylist(), strict=True):
        key = data.pop("id")
        data.pop(PURGED, None)  # of what is kept it says nothing, and no takedown may change other documents
        images_here, place = tuple(of_document.get(int(row), ())), int(facts.document_row[row])
        yield KeptDocument(facts.items[0], place, key, images_here, _measured(data))


def _as_it_came(data: Mapping[str, Any]) -> dict[str, Measure]:
    """Return what the file of a resized image was before; nothing where it is stored as it came."""
    if data["sha256"] == data["stored_sha256"]:
        return {}
    return {f"original_{name}": data[name] for name in ("sha256", "format", "width", "height", "size_bytes")}


def _measured(measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """Leave out what was not measured: None, NaN, and infinity, which JSON cannot hold."""
    return {
        name: value
        for name, value in measures.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def pack_shard(number: int, plan: Sequence[KeptDocument], layout: Layout, print_: str) -> ShardInfo:
    """Write one shard; return its manifest line."""
    return write_shard(layout.shards, number, _samples(plan, layout), fingerprint=print_)


def _samples(plan: Sequence[KeptDocument], layout: Layout) -> Iterator[Sample]:
    for item in dict.fromkeys(document.item for document in plan):
        here = [document for document in plan if document.item == item]
        documents = read_documents(layout.documents(item), [document.row for document in here])
        fs, inside = file_system(layout.image_tar(item))
        if not any(document.images for document in here):
            yield from (make_sample(kept, found, []) for kept, found in zip(here, documents, strict=True))
            continue
        with fs.open(inside, "rb") as tar:
            for kept, found in zip(here, documents, strict=True):
                yield make_sample(kept, found, [_read(tar, image, item) for image in kept.images])


def _read(tar: IO[bytes], image: KeptImage, item: str) -> bytes:
    tar.seek(image.offset)
    data = tar.read(image.size_bytes)
    if hashlib.sha256(data).hexdigest() != image.sha256:
        where = f"image tar of item {item} at byte {image.offset}"
        raise OSError(f"{where}: sha256 differs; remove images/ and fetch again")
    return data


def make_sample(kept: KeptDocument, document: Document, images: Sequence[bytes]) -> Sample:
    """Return the sample of a kept document: dropped images gone, the texts around them joined.

    Images with a place stand before that sentence, whatever the reading order.
    """
    by_node = {image.node: (image, data) for image, data in zip(kept.images, images, strict=True)}
    nodes: list[Node] = []
    files: dict[str, bytes] = {}
    places = {image.node: image.place for image in kept.images if image.place is not None}
    for position, node in in_assigned_order(document, places) if places else enumerate(document.nodes):
        if isinstance(node, TextNode):
            _add_text(nodes, node)
        elif position in by_node:
            image, data = by_node[position]
            field = f"{len(files)}.{EXTENSIONS[image.format]}"
            files[field] = data
            nodes.append(_packed(node, image, field))
    return Sample(replace(document, nodes=tuple(nodes), measures=dict(kept.measures)), files)


def without_images(sample: Sample, urls: Collection[str]) -> Sample:
    """Return a packed sample without the images at these URLs, as it would have been packed without them."""
    nodes: list[Node] = []
    files: dict[str, bytes] = {}
    for node in sample.document.nodes:
        if isinstance(node, TextNode):
            _add_text(nodes, node)
        elif node.url not in urls:
            old = str(node.file)
            field = f"{len(files)}.{old.rpartition('.')[2]}"
            files[field] = sample.files[old]
            nodes.append(replace(node, file=field))
    return Sample(replace(sample.document, nodes=tuple(nodes)), files)


def _add_text(nodes: list[Node], node: TextNode) -> None:
    """Append a text node, joined to the one before it where nothing stands between them any more."""
    last = nodes[-1] if nodes else None
    if isinstance(last, TextNode) and (last.role, last.loss) == (node.role, node.loss):
        nodes[-1] = replace(last, text=f"{last.text}\n\n{node.text}")
    else:
        nodes.append(node)


def _packed(node: ImageNode, image: KeptImage, field: str) -> ImageNode:
    url = node.url.partition(",")[0] if node.url.startswith("data:") else node.url  # its bytes lie beside it
    return replace(
        node, url=url, file=field, sha256=image.sha256, width=image.width, height=image.height, scores=image.scores
    )
