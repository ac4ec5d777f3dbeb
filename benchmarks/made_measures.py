"""Made measures of a build: what its passes store of any number of documents, without the documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from infimm_data.files import write_bytes
from infimm_data.tables import write_table, write_tables
from pipelines.layout import Layout
from pipelines.passes.decisions import write_decided_items
from pipelines.sources.contract import WorkItem

PER_ITEM = 50_000
TEMPLATES = 1_000
IMAGES_PER_DOCUMENT = 2.5
RECIPE = """
source: {kind: web_archive, path: dumps/}
steps:
- {filter: language, keep: [en], min_confidence: 0.8}
- {filter: text_length, min_words: 10}
- {filter: image_size, min_side: 150}
- {filter: image_duplicate, max_documents: 10}
- {filter: clip_score, min_score: 0.2}
- {filter: near_duplicate_text}
- {filter: image_count, min_images: 1, max_images: 30}
"""


def write_measures(layout: Layout, documents: int) -> None:
    """Write what the passes of a build store of so many documents."""
    write_bytes(layout.recipe, RECIPE.encode())
    items = work_items(documents)
    tables = (write_item(layout, items, item.index, documents) for item in items)
    write_tables(layout.groups("near_duplicate_text"), tables, fingerprint="")
    write_decided_items(items, layout)


def work_items(documents: int) -> list[WorkItem]:
    """Return the work items of so many documents."""
    return [WorkItem(index=n, name=f"{n}", path="", size_bytes=0) for n in range(-(-documents // PER_ITEM))]


def write_item(layout: Layout, items: list[WorkItem], number: int, documents: int) -> pa.Table:
    """Write the measures of one work item; return the groups of its documents."""
    rng = np.random.default_rng(number)
    size = min(PER_ITEM, documents - number * PER_ITEM)
    ids = [f"{number * PER_ITEM + row:032x}" for row in range(size)]
    write_documents(layout, items[number].key, ids, rng)
    write_images(layout, items[number].key, ids, rng)
    group = rng.integers(0, 5 * size, size)
    first: dict[int, int] = {}
    for row, one in enumerate(group.tolist()):
        first.setdefault(one, row)
    # The first documents of each item are in groups of their own, which one of twenty of later items join.
    own = [f"{items[number].key}/{first[one]}" if one < size else None for one in group.tolist()]
    own[:TEMPLATES] = [f"{items[number].key}/{row}" for row in range(min(TEMPLATES, size))]
    joined = np.flatnonzero(rng.random(size) < 0.05)
    others, templates = rng.integers(0, number, len(joined)) if number else [], rng.integers(0, TEMPLATES, len(joined))
    for row, other, template in zip(joined.tolist(), others, templates, strict=False):
        if row >= TEMPLATES:
            own[row] = f"{items[other].key}/{template}"
    return pa.table(
        {"item": [items[number].key] * size, "id": ids, "near_duplicate_text_group": pa.array(own, pa.string())}
    )


def write_documents(layout: Layout, item: str, ids: list[str], rng: np.random.Generator) -> None:
    """Write the measures of the documents of one work item, and that they were decided on."""
    size = len(ids)
    table = pa.table(
        {
            "id": ids,
            "language": rng.choice(["en", "de", "fr", "zh"], size, p=[0.5, 0.2, 0.2, 0.1]),
            "language_confidence": rng.uniform(0.5, 1, size),
            "num_words": np.floor(rng.lognormal(5, 1.5, size)),
            "num_characters": np.floor(rng.lognormal(7, 1.5, size)),
        }
    )
    write_table(layout.document_scores(item), table, fingerprint="")
    write_table(layout.decisions("documents", item), table.select(["id"]), fingerprint="")


def write_images(layout: Layout, item: str, ids: list[str], rng: np.random.Generator) -> None:
    """Write what was fetched and scored for the documents of one work item."""
    counts = rng.poisson(IMAGES_PER_DOCUMENT, len(ids))
    owners = np.repeat(np.array(ids), counts)
    size = len(owners)
    nodes = np.concatenate([np.arange(count) for count in counts]).astype(np.int64)
    urls = [f"https://{item}.example/{number:07d}.jpg" for number in range(size)]
    keys = {"id": pa.array(owners), "node": pa.array(nodes)}
    write_table(layout.image_scores(item), pa.table({**keys, "url": urls}), fingerprint="")
    width, height = rng.integers(50, 2_000, (2, size))
    status = rng.choice(["ok", "http_404", "timeout"], size, p=[0.7, 0.2, 0.1])
    hashes = rng.integers(0, 1 << 63, size, dtype=np.uint64)
    hashes[rng.random(size) < 0.1] = hashes[0]  # banners: many images are one
    fetched = {
        "url": pa.array(urls),
        "status": pa.array(status),
        "offset": pa.array(np.arange(size) * 1024),
        "size_bytes": pa.array(rng.integers(2_000, 900_000, size)),
        "sha256": pa.array([f"{number:064x}" for number in range(size)]),
        "format": pa.array(rng.choice(["jpeg", "png", "webp"], size)),
        "width": pa.array(width, pa.int32()),
        "height": pa.array(height, pa.int32()),
        "short_side": pa.array(np.minimum(width, height), pa.int32()),
        "long_side": pa.array(np.maximum(width, height), pa.int32()),
        "aspect": pa.array(np.maximum(width, height) / np.minimum(width, height)),
        "phash": pa.array(hashes),
    }
    same = {
        "stored_bytes": "size_bytes",
        **{f"stored_{name}": name for name in ("sha256", "format", "width", "height")},
    }
    fetched |= {stored: fetched[name] for stored, name in same.items()}  # as without a resize
    write_table(layout.images(item), pa.table(fetched), fingerprint="")
    scored = pa.table({**keys, "clip_score": rng.normal(0.25, 0.08, size)})
    write_table(layout.pair_scores("clip_score", item), scored, fingerprint="")
