"""Pack pass: kept documents with their kept images -> shards, each written whole, equal inputs giving equal bytes.

Documents stand in dump order; the stream shuffles them when it reads. A shard whose documents, images, scores
and measures did not change is not written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

import numpy as np

from infimm_data.document import Document, ImageNode, Measure, Node, TextNode
from infimm_data.errors import InfiMMError
from infimm_data.files import file_system, join, remove
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
from pipelines.facts import FETCHED_COLUMNS, Facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions
from pipelines.passes.extract import extract_print
from pipelines.run import Run

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif"}


@dataclass(frozen=True)
class KeptImage:
    """An image of a planned document: its node, its bytes in the image tar of the item, its measures."""

    node: int
    offset: int
    size_bytes: int
    sha256: str
    format: str
    width: int
    height: int
    scores: Mapping[str, Measure]


@dataclass(frozen=True)
class KeptDocument:
    """A planned sample: where its document lies, which images stay, what was measured on it."""

    item: int
    row: int
    id: str
    images: tuple[KeptImage, ...]
    measures: Mapping[str, Measure]


def pack(run: Run, facts: Facts, decisions: Decisions) -> None:
    """Write the shards, delete those of an earlier, larger result, and write the manifest last."""
    plans = shard_plans(plan_documents(facts, decisions), run.recipe.output.documents_per_shard)
    print_ = "".join(extract_print(run.recipe, item) for item in run.items)
    remove(join(run.layout.shards, "manifest.json"))  # a folder with a manifest is a finished set of shards
    tasks = [Task(shard_name(number), (number, plan, run.layout, print_)) for number, plan in enumerate(plans)]
    report = run.cluster.run("pack", pack_shard, tasks)
    run.reports.append(report)
    for failure in report.failures:
        raise InfiMMError(f"pack: {failure.name}: {failure.problem}")
    run.shards = list(report.results)
    _remove_surplus(run.layout.shards, len(run.shards))
    write_manifest(run.layout.shards, run.shards)


def _remove_surplus(folder: str, keep: int) -> None:
    fs, inside = file_system(folder)
    wanted = {shard_name(n) for n in range(keep)} | {index_name(shard_name(n)) for n in range(keep)}
    for path in fs.ls(inside, detail=False) if fs.exists(inside) else []:
        if path.rpartition("/")[2] not in wanted:
            fs.rm_file(path)


def plan_documents(facts: Facts, decisions: Decisions) -> list[KeptDocument]:
    """Return what goes into the shards, in dump order."""
    images: dict[int, list[KeptImage]] = {}
    rows = np.flatnonzero(decisions.images.kept)
    extra = [name for name in facts.images.column_names if name not in ("id", "node", "url", *FETCHED_COLUMNS)]
    for row, data in zip(rows, facts.images.take(rows).to_pylist(), strict=True):
        scores = {name: data[name] for name in extra if data[name] is not None}
        fields = {name: data[name] for name in ("node", "offset", "size_bytes", "sha256", "format", "width", "height")}
        images.setdefault(int(facts.image_document[row]), []).append(KeptImage(**fields, scores=scores))
    kept = np.flatnonzero(decisions.documents.kept)
    plan = []
    for row, data in zip(kept, facts.documents.take(kept).to_pylist(), strict=True):
        key = data.pop("id")
        measures = {name: value for name, value in data.items() if value is not None}
        item, place = int(facts.document_item[row]), int(facts.document_row[row])
        plan.append(KeptDocument(item, place, key, tuple(images.get(int(row), ())), measures))
    return plan


def shard_plans(plan: Sequence[KeptDocument], documents_per_shard: int) -> list[list[KeptDocument]]:
    """Cut the plan into shards of equal size; the last one may be smaller."""
    return [list(plan[at : at + documents_per_shard]) for at in range(0, len(plan), documents_per_shard)]


def pack_shard(number: int, plan: Sequence[KeptDocument], layout: Layout, documents_print: str) -> ShardInfo:
    """Write one shard, or return the manifest line of the finished one."""
    print_ = fingerprint("pack", documents_print, [asdict(document) for document in plan])
    finished = finished_shard(layout.shards, number, fingerprint=print_)
    return finished or write_shard(layout.shards, number, _samples(plan, layout), fingerprint=print_)


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


def _read(tar: IO[bytes], image: KeptImage, item: int) -> bytes:
    tar.seek(image.offset)
    data = tar.read(image.size_bytes)
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise OSError(f"image tar of item {item} at byte {image.offset}: sha256 differs; remove images/ and fetch again")
    return data


def make_sample(kept: KeptDocument, document: Document, images: Sequence[bytes]) -> Sample:
    """Return the sample of a kept document: dropped images gone, the texts around them joined."""
    by_node = {image.node: (image, data) for image, data in zip(kept.images, images, strict=True)}
    nodes: list[Node] = []
    files: dict[str, bytes] = {}
    for position, node in enumerate(document.nodes):
        if isinstance(node, TextNode):
            _add_text(nodes, node)
        elif position in by_node:
            image, data = by_node[position]
            field = f"{len(files)}.{EXTENSIONS[image.format]}"
            files[field] = data
            nodes.append(_packed(node, image, field))
    return Sample(replace(document, nodes=tuple(nodes), measures=dict(kept.measures)), files)


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


def counts(shards: Sequence[ShardInfo]) -> dict[str, Any]:
    """Return the sums over the shards, for the funnel."""
    return {
        "shards": len(shards),
        "documents": sum(shard.num_documents for shard in shards),
        "images": sum(shard.num_images for shard in shards),
        "bytes": sum(shard.size_bytes for shard in shards),
    }
