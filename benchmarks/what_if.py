"""Deciding again over many documents: what `infimm what-if` and a slider of `infimm explore` cost, on made measures.

    python benchmarks/what_if.py [--documents 1000000] [--folder FOLDER] [--runs 3]

Writes the measures of a build first (2.5 images per document, one near-duplicate group in five; 50,000 documents a
work item), changes one text and one CLIP threshold, and moves sliders. Reports seconds, and the peak memory
of the process. Nobody else stores measures and decides later, so there is no peer in this run.
Limit: one process; the measures are random, so the decisions mean nothing.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from infimm_data.files import write_bytes
from infimm_data.tables import write_table
from pipelines.explorer.thresholds import Thresholds
from pipelines.layout import Layout
from pipelines.passes.decisions import write_decided_items
from pipelines.sources.contract import WorkItem
from pipelines.stored import ImageGroups
from pipelines.study import load_study
from pipelines.what_if import what_if

PER_ITEM = 50_000
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
    items = [WorkItem(index=n, name=f"{n}", path="", size_bytes=0) for n in range(-(-documents // PER_ITEM))]
    groups = []
    for item in items:
        rng = np.random.default_rng(item.index)
        size = min(PER_ITEM, documents - item.index * PER_ITEM)
        ids = [f"{item.index * PER_ITEM + row:032x}" for row in range(size)]
        write_documents(layout, item.key, ids, rng)
        write_images(layout, item.key, ids, rng)
        group = rng.integers(0, 5 * size, size)
        slugs = [f"{number:032x}" if number < size else None for number in group.tolist()]
        groups.append(pa.table({"item": [item.key] * size, "id": ids, "near_duplicate_text_group": slugs}))
    write_decided_items(items, layout)
    write_table(layout.groups("near_duplicate_text"), pa.concat_tables(groups), fingerprint="")


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


SLIDES = ("clip.min_score=0.27", "text_length.min_words=20", "text_length.min_words=200", "image_size.min_side=100")


def slide(layout: Layout, runs: int) -> None:
    """Measure what `infimm explore` does after each move of a slider: counts, funnel, histograms, examples."""
    start, groups = time.perf_counter(), ImageGroups()
    thresholds = Thresholds(load_study(layout, groups), groups)
    thresholds.recount([])  # the first page draws every histogram
    print(f"explorer: {time.perf_counter() - start:.1f} s until the sliders are there")
    for change in SLIDES:
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            thresholds.recount([change])
            seconds.append(time.perf_counter() - start)
        print(f"  {change}: first {seconds[0]:.2f} s, median {statistics.median(seconds):.2f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--folder", help="write the measures here and keep them; found there, they are not made again")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        layout = Layout(arguments.folder or made)
        if not Path(layout.recipe).exists():
            write_measures(layout, arguments.documents)
        stored = sum(path.stat().st_size for path in Path(layout.out).rglob("*.parquet"))
        seconds = []
        for _ in range(arguments.runs):
            start = time.perf_counter()
            recount = what_if(layout, ["clip=0.27", "text_length.min_words=20"])
            seconds.append(time.perf_counter() - start)
        slide(layout, arguments.runs)
    documents, images = recount.then.documents, recount.then.images
    print(f"{len(documents.line)} documents, {len(images.line)} images, {stored / 1e6:.0f} MB of measures")
    print(f"kept: {int(recount.now.documents.kept.sum())} documents, would be {int(documents.kept.sum())}")
    print(f"what-if: median {statistics.median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
