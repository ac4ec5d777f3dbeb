"""Takedown: pages and images that are asked to go leave the shards at once, and stay out of every later build.

Only the shards that hold them are written again; `purge/audit.jsonl` keeps a line of what was done. What the
passes stored is not rewritten: delete OUT/crawl, OUT/documents and OUT/images where they must go too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import alone_in, exists, join, read_bytes, remove, write_bytes
from infimm_data.rules import Mask
from infimm_data.shards import (
    Sample,
    SampleLocation,
    ShardInfo,
    read_index,
    read_manifest,
    read_sample,
    write_manifest,
    write_shard,
)
from infimm_data.tables import fingerprint, read_table
from pipelines.executor import Cluster, Task
from pipelines.facts import PURGED, BatchedFacts
from pipelines.item_tables import purged_urls
from pipelines.layout import Layout
from pipelines.passes.decide import decide
from pipelines.passes.decisions import write_decisions
from pipelines.passes.group import thin_indices
from pipelines.passes.outcome import Decisions
from pipelines.passes.pack import without_images
from pipelines.passes.verdicts import KEPT
from pipelines.report import write_funnel
from pipelines.run import Run
from pipelines.stored import ImageGroups, stored_facts, stored_items, stored_recipe, where_a_build_is


@dataclass(frozen=True)
class Purge:
    """What a takedown did: ids of documents that left the shards, ids of those that lost images, shards rewritten."""

    documents: tuple[str, ...]
    documents_with_images: tuple[str, ...]
    shards: tuple[str, ...]


def purge(layout: Layout, urls: Sequence[str], cluster: Cluster, now: datetime) -> Purge:
    """Take pages and images down by URL; now: the time that the audit line states.

    The list is written first: a purge that is killed is finished by `infimm build`, which honours it. Raises
    ConfigError where no finished shards are, InfiMMError when a shard cannot be written.
    """
    if not exists(join(layout.shards, "manifest.json")):
        raise ConfigError(f"{layout.out}: no finished shards there; {where_a_build_is(layout.out)}")
    with alone_in(layout.out):
        return _purge(layout, urls, cluster, now)


def _purge(layout: Layout, urls: Sequence[str], cluster: Cluster, now: datetime) -> Purge:
    _remember(layout, urls)
    recipe, items = stored_recipe(layout), stored_items(layout)
    facts = stored_facts(layout, recipe)
    decisions = decide(facts, recipe.steps, incumbents=packed(layout, facts), images=ImageGroups())
    asked = _asked(layout, facts, decisions)
    shards, found = _rewrite(layout, asked, urls, cluster)
    run = Run(recipe, layout, cluster, items=items, shards=shards)
    write_decisions(decisions, items, layout)
    write_funnel(run, decisions.facts, decisions)
    thin_indices(layout, recipe.steps, found.documents)
    _audit(layout, urls, found, now)
    return found


def _remember(layout: Layout, urls: Sequence[str]) -> None:
    known = purged_urls(layout)
    every = sorted({*urls, *([] if known is None else known.to_pylist())})
    write_bytes(layout.purge("urls.txt"), "".join(f"{url}\n" for url in every).encode())


def packed(layout: Layout, facts: BatchedFacts) -> Mask:
    """Return which documents lie in the shards: a twin does not displace one of them for having lost an image."""
    keys = [place.key for shard in read_manifest(layout.shards) for place in read_index(layout.shards, shard)]
    known = pa.array(keys, type=pa.string())
    ids = (read_table(layout.document_scores(item), columns=["id"]).column("id") for item in facts.items)
    return np.concatenate([pc.is_in(one, value_set=known).to_numpy() for one in ids])


def _asked(layout: Layout, facts: BatchedFacts, decisions: Decisions) -> dict[str, bool]:
    """Return the ids of the documents that the list names, by their own URL or by that of an image: are they kept?"""
    found: dict[str, bool] = {}
    for item in facts.items:
        part = facts.of_item(item, {"document": [], "image": []})
        pages = pc.equal(part.documents.column(PURGED), 1)
        showing = part.images.column("id").filter(pc.equal(part.images.column(PURGED), 1)).combine_chunks()
        named = pc.or_(pages, pc.is_in(part.documents.column("id"), value_set=showing)).to_numpy()
        kept = decisions.documents.line[part.document_rows][named] == KEPT
        found |= zip(part.documents.column("id").filter(pa.array(named)).to_pylist(), kept.tolist(), strict=True)
    return found


def _rewrite(
    layout: Layout, asked: Mapping[str, bool], urls: Collection[str], cluster: Cluster
) -> tuple[list[ShardInfo], Purge]:
    """Write the shards that hold documents asked for; return all shards, and what changed."""
    folder, tasks, places = layout.shards, [], []
    shards = read_manifest(folder)
    for number, shard in enumerate(shards):
        here = read_index(folder, shard)
        if any(place.key in asked for place in here):
            places += [place for place in here if place.key in asked]
            gone = {place.key for place in here if not asked.get(place.key, True)}
            tasks.append(Task(shard.name, (folder, number, here, gone, frozenset(urls))))
    if tasks:
        remove(join(folder, "manifest.json"))  # a folder with a manifest is a finished set of shards
    report = cluster.run("purge", purge_shard, tasks)
    for failure in report.failures:
        raise InfiMMError(f"purge: {failure.name}: {failure.problem}; run 'infimm build' to finish it")
    written = {info.name: info for info in report.results}
    shards = [written.get(shard.name, shard) for shard in shards]
    write_manifest(folder, shards)
    left = tuple(sorted(place.key for place in places if not asked[place.key]))
    thinned = tuple(sorted(place.key for place in places if asked[place.key]))
    return shards, Purge(left, thinned, tuple(sorted(written)))


def purge_shard(
    folder: str, number: int, places: Sequence[SampleLocation], gone: Collection[str], urls: Collection[str]
) -> ShardInfo:
    """Write one shard again without some documents and images; return its manifest line."""
    samples: list[Sample] = [
        without_images(read_sample(folder, place), urls) for place in places if place.key not in gone
    ]
    return write_shard(folder, number, samples, fingerprint=fingerprint("purge", sorted(gone), sorted(urls)))


def _audit(layout: Layout, urls: Sequence[str], found: Purge, now: datetime) -> None:
    """Append a line: when, what was asked, what left."""
    path = layout.purge("audit.jsonl")
    before = read_bytes(path) if exists(path) else b""
    line = {
        "time": now.isoformat(timespec="seconds"),
        "urls": sorted(urls),
        "documents_removed": found.documents,
        "documents_that_lost_images": found.documents_with_images,
        "shards_rewritten": found.shards,
    }
    write_bytes(path, before + json.dumps(line, ensure_ascii=False).encode() + b"\n")
