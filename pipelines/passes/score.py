"""Score pass: images and their texts -> what a model says of each pair; the model loads once per worker.

A pair that was scored is never scored again: when a later run wants more, the file grows by what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import pyarrow as pa

from infimm_data.comparing import ComparesEmbeddings, GroupsImages
from infimm_data.document import Document
from infimm_data.files import file_system
from infimm_data.rules import AssignsImages, Filter, Mask, Scorer, ScoresPairs, measured_with
from infimm_data.tables import fingerprint, measures_table, read_documents, read_metadata, read_table, write_table
from infimm_data.vectors import ScoresEmbeddings
from pipelines.batches import StoredFacts
from pipelines.facts import BatchedFacts, FoundOfImages
from pipelines.image_files import read_image
from pipelines.layout import Layout
from pipelines.passes.assign import assign
from pipelines.passes.decide import decide
from pipelines.passes.embeddings import compare_semantics
from pipelines.passes.fetch import fetch_print
from pipelines.passes.group import gather, group_images, write_image_groups
from pipelines.passes.heads import ask_heads
from pipelines.rates import would_drop
from pipelines.recipe import Step
from pipelines.run import Run
from pipelines.workers import Model

PAIRS_AT_ONCE = 1024  # handed to the model in one call, which cuts them into its own batches; bounds memory

Pair = tuple[int, int, int, int]
"""(row of the document in its file, position of the image node, offset and size of the bytes in the image tar)."""


def score(run: Run) -> StoredFacts:
    """Compare and score the images that the steps before each such step keep; return the facts with all of it."""
    facts = gather(run)
    found: list[FoundOfImages] = []
    compared: list[str] = []
    for number, step in enumerate(run.recipe.steps):
        if isinstance(step.filter, GroupsImages):
            found.append(group_images(step.filter, facts, _live(facts, run.recipe.steps[:number])))
            write_image_groups(step.name, found[-1], facts, run.layout)
            facts = facts.with_found(found[-1])
        if isinstance(step.filter, ComparesEmbeddings):
            compare_semantics(run, facts, step, _live(facts, run.recipe.steps[:number]))
            compared.append(step.name)
            facts = gather(run, compared, found)
        if isinstance(step.filter, ScoresPairs):
            live = _live(facts, run.recipe.steps[:number])
            has_failed = _score_pairs(run, facts, step, step.filter, live)
            if not has_failed and isinstance(step.filter, AssignsImages):
                has_failed = assign(run, facts, step, step.filter, live)
            if has_failed:
                return score(run) if run.items else facts  # items left the run: group and gather without them
            facts = gather(run, compared, found)
        if isinstance(step.filter, ScoresEmbeddings):
            if ask_heads(run, step, step.filter):
                return score(run) if run.items else facts
            facts = gather(run, compared, found)
    return facts


def _live(facts: BatchedFacts, steps: Sequence[Step]) -> Mask:
    """Return which images the steps so far keep, of those that were fetched."""
    kept: Mask = decide(facts, steps).images.kept
    return kept


def _score_pairs(run: Run, facts: BatchedFacts, step: Step, scores: ScoresPairs, live: Mask) -> bool:
    """Score the live images of every work item; return whether an item failed."""
    todo = []
    for item in run.items:
        here = facts.of_item(item.key, {"image": ["offset", "stored_bytes"]})
        rows = np.flatnonzero(live[here.image_rows])
        table = here.images.select(["id", "node", "offset", "stored_bytes"]).take(rows).to_pydict()
        at = here.document_row[here.image_document[rows]].tolist()
        pairs = list(zip(at, table["node"], table["offset"], table["stored_bytes"], strict=True))
        print_ = fingerprint("score", step.name, measured_with(step.filter), fetch_print(run, item))
        if not is_scored(
            run.layout.pair_scores(step.name, item.key), zip(table["id"], table["node"], strict=True), print_
        ):
            todo.append((item, (step.name, scores, item.key, run.layout, pairs, print_)))
    model = worker_model(scores, run.cluster.num_gpus) if todo else None
    return bool(run.go(f"score {step.name}", score_item, todo, model, counted=dict).failures)


def worker_model(scores: ScoresPairs, num_gpus: int) -> Model:
    """Return what each worker loads: one whole GPU each where there are any."""
    return Model(load_scorer, (scores, "cuda" if num_gpus else "cpu"), num_gpus=1.0 if num_gpus else 0.0)


def is_scored(path: str, keys: Iterable[tuple[str, int]], print_: str) -> bool:
    """Return whether all these (document id, node) pairs were already scored in the same way."""
    if read_metadata(path)[0] != print_:
        return False
    return set(keys) <= set(_keys(read_table(path, columns=["id", "node"])))


def load_scorer(scores: ScoresPairs, device: str) -> Scorer:
    """Load the model of a step; runs once in each worker."""
    return scores.load(device)


def score_item(
    scorer: Scorer, name: str, scores: ScoresPairs, item: str, layout: Layout, pairs: Sequence[Pair], print_: str
) -> dict[str, int]:
    """Score the pairs of one work item that no earlier run scored.

    Returns how many these were, and what the step's rules would drop of them.
    """
    path = layout.pair_scores(name, item)
    earlier = _earlier(path, print_)
    known = set(_keys(earlier)) if earlier is not None else set()
    ids: list[str] = []
    nodes: list[int] = []
    rows: list[dict[str, Any]] = []
    keyed = _pairs_with_texts(scores, item, layout, pairs, known)
    while chunk := list(islice(keyed, PAIRS_AT_ONCE)):
        keys, images, texts = zip(*chunk, strict=True)
        for (document, node), measures in zip(keys, scorer.score(images, texts), strict=True):
            ids.append(document)
            nodes.append(node)
            rows.append(dict(measures))
    table = measures_table({"id": ids, "node": nodes}, rows)
    counts = would_drop((Step(name, cast(Filter, scores)),), "image", table)
    if earlier is not None:
        table = pa.concat_tables([earlier, table], promote_options="permissive")
    write_table(path, table, fingerprint=print_)
    return counts


def _earlier(path: str, print_: str) -> pa.Table | None:
    """Return what an earlier run scored in the same way, None where that is nothing."""
    return read_table(path).replace_schema_metadata(None) if read_metadata(path)[0] == print_ else None


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(table.column("id").to_pylist(), table.column("node").to_pylist(), strict=True)


Keyed = tuple[tuple[str, int], bytes, tuple[str, ...]]


def _pairs_with_texts(
    scores: ScoresPairs, item: str, layout: Layout, pairs: Sequence[Pair], known: set[tuple[str, int]]
) -> Iterator[Keyed]:
    """Yield (key, image bytes, texts) of the pairs that are not known, in the order of the documents."""
    by_row: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_row[pair[0]].append(pair)
    documents: Iterator[Document] = read_documents(layout.documents(item), sorted(by_row))
    fs, inside = file_system(layout.image_tar(item))
    with fs.open(inside, "rb") as tar:
        for row, document in zip(sorted(by_row), documents, strict=True):
            for _, node, offset, size in by_row[row]:
                if (document.id, node) not in known:
                    yield (document.id, node), read_image(tar, offset, size), scores.texts_for(document, node)
