"""Compares the embeddings of the images still wanted at a step, within the recipe's memory limit."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from infimm_data.comparing import ComparesEmbeddings
from infimm_data.rules import Mask, measured_with
from infimm_data.tables import fingerprint, read_metadata
from pipelines.dedup.embeddings import MEASURE, Images, compare_embeddings
from pipelines.facts import Facts
from pipelines.passes.group import group_columns, is_grouped
from pipelines.passes.stages import stages_on
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 1  # raise when another value is found for the same embeddings


def semantic_columns(run: Run, facts: Facts, step: Step, live: Mask) -> dict[str, Any]:
    """Return what the step measures of every image row; null where it is not live or has no embedding.

    Found once for the same images and settings; raises InfiMMError when that fails.
    """
    assert isinstance(step.filter, ComparesEmbeddings)
    images = [_images(run, facts, step.filter, item, live) for item in run.keys]
    told = hashlib.blake2b(np.packbits(live).tobytes(), digest_size=16).hexdigest()
    scored = [read_metadata(one.path)[0] for one in images]
    print_ = fingerprint("semantic", VERSION, measured_with(step.filter), told, scored)
    path = run.layout.groups(step.name)
    if not is_grouped(path, print_):
        share = run.recipe.dedup.memory_bytes // run.cluster.num_cpus
        stage = stages_on(run, step.name)
        compare_embeddings(step.filter, images, share=share, path=path, print_=print_, stage=stage)
    return {MEASURE: group_columns(step.name, run.layout, run.keys)[MEASURE]}


def _images(run: Run, facts: Facts, settings: ComparesEmbeddings, item: str, live: Mask) -> Images:
    here = np.flatnonzero(facts.image_item == facts.items.index(item))
    rows = here[live[here]]
    keys = facts.images.select(["id", "node"]).take(rows).to_pydict()
    named = tuple(f"{key}/{node}" for key, node in zip(keys["id"], keys["node"], strict=True))
    path = run.layout.pair_scores(settings.embeddings_of, item)
    start = int(np.searchsorted(facts.image_item, facts.items.index(item)))
    return Images(item=item, path=path, keys=named, rows=rows, start=start, size=len(here))
