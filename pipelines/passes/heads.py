"""Heads pass: the stored vectors of images -> what small networks say of them; no picture is looked at again."""

from __future__ import annotations

import pyarrow as pa

from infimm_data.tables import KEY_TYPES, fingerprint, read_metadata, read_table, write_table
from infimm_data.vectors import EmbeddingScorer, ScoresEmbeddings
from pipelines.embeddings import read_embeddings
from pipelines.layout import Layout
from pipelines.recipe import Recipe, Step, vectors_of
from pipelines.run import Run

VERSION = 1


def check_heads(recipe: Recipe) -> None:
    """Load all heads of a recipe once, before any work; raises ConfigError when one cannot be had."""
    for step in recipe.steps:
        if isinstance(step.filter, ScoresEmbeddings):
            step.filter.load_heads(vectors_of(recipe.steps, step.filter) or "")


def ask_heads(run: Run, step: Step, heads: ScoresEmbeddings) -> bool:
    """Ask the heads about every image that has a vector; return whether an item failed."""
    loaded = heads.load_heads(vectors_of(run.recipe.steps, heads) or "")
    todo = []
    for item in run.items:
        path = run.layout.pair_scores(heads.embeddings_of, item.key)
        made_with = (
            read_metadata(path)[0],
            read_table(path, columns=["node"]).num_rows,
        )  # it grows when more images are wanted
        print_ = fingerprint("heads", VERSION, heads.embeddings_of, dict(loaded.digests), made_with)
        if read_metadata(run.layout.pair_scores(step.name, item.key))[0] != print_:
            todo.append((item, (step.name, heads.embeddings_of, loaded, item.key, run.layout, print_)))
    return bool(run.go(f"score {step.name}", ask_item, todo).failures)


def ask_item(name: str, embeddings_of: str, loaded: EmbeddingScorer, item: str, layout: Layout, print_: str) -> int:
    """Write what the heads say of one work item's images; return how many they are."""
    tables = []
    for part in read_embeddings(layout, embeddings_of, item):
        keys = {"id": part.documents, "node": pa.array(part.nodes)}
        tables.append(pa.table({**keys, **{key: pa.array(found) for key, found in loaded.score(part.vectors).items()}}))
    empty = pa.table({key: pa.array([], type=KEY_TYPES[key]) for key in ("id", "node")})
    table = pa.concat_tables(tables) if tables else empty
    write_table(layout.pair_scores(name, item), table, fingerprint=print_)
    return int(table.num_rows)
