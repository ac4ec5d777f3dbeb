"""Compares the embeddings of the images still wanted at a step, within the recipe's memory limit."""

from __future__ import annotations

import hashlib

import numpy as np

from infimm_data.comparing import ComparesEmbeddings
from infimm_data.rules import Mask, measured_with
from infimm_data.tables import fingerprint, read_metadata
from pipelines.dedup.embeddings import Images, compare_embeddings
from pipelines.facts import BatchedFacts
from pipelines.passes.group import is_grouped
from pipelines.passes.stages import stages_on
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 1  # raise when another value is found for the same embeddings


def compare_semantics(run: Run, facts: BatchedFacts, step: Step, live: Mask) -> None:
    """Find what the step measures of every image row; null where it is not live or has no embedding.

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


def _images(run: Run, facts: BatchedFacts, settings: ComparesEmbeddings, item: str, live: Mask) -> Images:
    here = facts.of_item(item, {"image": []})
    rows = np.flatnonzero(live[here.image_rows])
    keys = here.images.select(["id", "node"]).take(rows).to_pydict()
    named = tuple(f"{key}/{node}" for key, node in zip(keys["id"], keys["node"], strict=True))
    path = run.layout.pair_scores(settings.embeddings_of, item)
    rows, start = rows + here.first_image, here.first_image
    return Images(item=item, path=path, keys=named, rows=rows, start=start, size=here.num_images)
