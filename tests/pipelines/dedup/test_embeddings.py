"""SemDeDup: centres, cosines with what stands before, and the same bytes however the work is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from filters.semantic_duplicate import SemanticDuplicate
from infimm_data.errors import InfiMMError
from infimm_data.files import read_bytes
from infimm_data.tables import measures_table, read_table, write_table
from pipelines.dedup.embeddings import largest_before, nearest_centres, spherical_k_means, unit
from pipelines.facts import FETCHED_COLUMNS, needs_pixels
from pipelines.passes.decide import decide
from pipelines.passes.embeddings import compare_semantics
from pipelines.passes.group import group_columns
from pipelines.passes.score import score
from tests.pipelines.here import Here, make_run
from tests.pipelines.made_facts import make_facts

STEP = "semantic_duplicate"


def drawn(size, width=16, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(size, width)))


def test_k_means_finds_the_directions_that_points_lie_around():
    directions = drawn(5, seed=1)
    points = unit(np.repeat(directions, 40, axis=0) + 0.05 * drawn(200, seed=2))
    for seed in range(10):  # as any k-means, it may end with two centres for one direction
        nearest, similarity = nearest_centres(points, spherical_k_means(points, 5, 30, np.random.default_rng(seed)))
        if similarity.min() > 0.97:
            break
    assert [len(set(nearest[at : at + 40])) for at in range(0, 200, 40)] == [1] * 5
    assert len(set(nearest)) == 5


def test_a_centre_that_loses_its_points_takes_the_worst_served():
    points = unit(np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]))
    for seed in range(5):
        centres = spherical_k_means(points, 2, 5, np.random.default_rng(seed))
        assert sorted(np.round(centres @ [1, 0], 3).tolist()) == [0, 1]


@pytest.mark.parametrize("size", [1, 5, 1024, 1500])
def test_each_is_compared_with_all_before_it(size):
    vectors = drawn(size, seed=size)
    cosines = np.maximum(np.tril(vectors @ vectors.T, -1), 0)
    assert np.allclose(largest_before(vectors), cosines.max(axis=1), atol=1e-6)


def write_embeddings(run, of, vectors, sizes, broken=()):
    start = 0
    for item, size in enumerate(sizes):
        key = run.keys[item]
        rows = range(start, start + size)
        values = [None if row in broken else vectors[row].astype(np.float16) for row in rows]
        is_known = any(value is not None for value in values) or not size
        embedding = pa.array(values, type=pa.list_(pa.float16(), vectors.shape[1]) if is_known else pa.null())
        table = pa.table({"id": [f"d{item}"] * size, "node": pa.array(rows, pa.int64()), "embedding": embedding})
        write_table(run.layout.pair_scores(of, key), table, fingerprint=f"of {item}")
        start += size


def compared(out, vectors, sizes, *, live=None, broken=(), cluster=None, memory="2GB", **settings):
    items = list(range(len(sizes)))
    filter_ = SemanticDuplicate(**settings)
    run = make_run(out, {STEP: filter_}, items, cluster=cluster, memory=memory)
    write_embeddings(run, filter_.embeddings_of, vectors, sizes, broken)
    owners = np.repeat(items, sizes)
    facts = replace(make_facts({"id": [f"d{item}" for item in items]}, {}, owners, items), items=tuple(run.keys))
    mask = np.ones(len(vectors), dtype=bool) if live is None else live
    compare_semantics(run, facts, run.recipe.steps[0], mask)
    columns = group_columns(STEP, run.layout, run.keys)
    return run, facts.with_images(columns), np.array(columns["semantic_similarity"].to_pylist(), dtype=float)


def twins():
    """Thirty random vectors, then ten of them again, slightly turned."""
    vectors = drawn(30, seed=5)
    return np.concatenate([vectors, unit(vectors[:10] + 0.02 * drawn(10, seed=6))])


def test_of_two_near_images_one_stays_and_distant_ones_do(tmp_path):
    _, facts, found = compared(tmp_path, twins(), [25, 0, 15], clusters=1)
    pairs = np.stack([found[:10], found[30:]])
    assert (pairs.max(axis=0) > 0.99).all()
    assert (pairs.min(axis=0) < 0.9).all()
    assert (found[10:30] < 0.9).all()
    kept = decide(facts, make_run(tmp_path, {STEP: SemanticDuplicate()}).recipe.steps).images.kept
    assert kept.sum() == 30


def test_the_image_farther_from_the_centre_stays(tmp_path):
    centre = np.array([1.0, 0, 0])
    vectors = unit(np.array([centre, [0.99, 0.141, 0], [0.98, 0.199, 0], [0.97, 0, 0.243]]))
    _, _, found = compared(tmp_path, vectors, [4], clusters=1)
    assert found[3] == 0 or found[2] == 0
    assert found[0] > 0.96
    assert found[1] > 0.96


def test_images_that_are_not_wanted_or_have_no_embedding_take_no_part_and_stay(tmp_path):
    live = np.ones(40, dtype=bool)
    live[:5] = False
    _, facts, found = compared(tmp_path, twins(), [40], clusters=1, live=live, broken=(5, 6))
    assert np.isnan(found[:7]).all()
    assert (found[[30, 31, 32, 33, 34, 35, 36]] < 0.9).all()
    assert decide(facts, make_run(tmp_path, {STEP: SemanticDuplicate()}).recipe.steps).images.kept[:7].all()


@pytest.mark.parametrize(("memory", "num_cpus"), [(1_000_000, 30), ("2GB", 3)])
def test_the_table_is_the_same_bytes_however_the_work_is_cut(tmp_path, memory, num_cpus):
    vectors = np.concatenate([drawn(400, seed=8), drawn(400, seed=8)])
    plain, _, _ = compared(tmp_path / "a", vectors, [500, 300], clusters=7, cluster=Here(1))
    other, _, _ = compared(tmp_path / "b", vectors, [500, 300], clusters=7, cluster=Here(num_cpus), memory=memory)
    assert read_bytes(plain.layout.groups(STEP)) == read_bytes(other.layout.groups(STEP))
    assert np.isfinite(read_table(plain.layout.groups(STEP)).column("semantic_similarity").to_numpy()).all()


def test_the_same_images_are_not_compared_twice_and_others_are(tmp_path):
    run, _, _ = compared(tmp_path, twins(), [40])
    run.cluster.names.clear()
    plain = replace(make_facts({"id": ["d0"]}, {}, [0] * 40), items=tuple(run.keys))
    compare_semantics(run, plain, run.recipe.steps[0], np.ones(40, dtype=bool))
    assert run.cluster.names == []
    compare_semantics(run, plain, run.recipe.steps[0], np.arange(40) > 0)
    assert run.cluster.names


def test_a_work_item_of_which_no_image_could_be_decoded_is_no_trouble(tmp_path):
    _, _, found = compared(tmp_path, twins(), [2, 38], clusters=1, broken=(0, 1))
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 1]


def test_no_image_at_all_is_no_trouble(tmp_path):
    assert compared(tmp_path, drawn(0), [0, 0])[2].tolist() == []


def test_a_step_that_stores_no_embedding_is_named(tmp_path):
    run = make_run(tmp_path, {STEP: SemanticDuplicate()})
    table = pa.table({"id": ["d0"], "node": pa.array([0], pa.int64()), "clip_score": [0.3]})
    write_table(run.layout.pair_scores("clip_score", run.keys[0]), table, fingerprint="")
    facts = replace(make_facts({"id": ["d0"]}, {}, [0]), items=tuple(run.keys))
    with pytest.raises(
        InfiMMError, match=r"clip_score/.*parquet: it has no column 'embedding'; set embeddings: image in its step"
    ):
        compare_semantics(run, facts, run.recipe.steps[0], np.ones(1, dtype=bool))


def test_the_score_pass_compares_embeddings_where_the_step_stands(tmp_path):
    run = make_run(tmp_path, {STEP: SemanticDuplicate(clusters=1)})
    write_embeddings(run, "clip_score", twins(), [40])
    urls = [f"https://a.example/{n}.png" for n in range(40)]
    keys = {"id": ["d0"] * 40, "node": list(range(40)), "url": urls}
    write_table(run.layout.document_scores(run.keys[0]), measures_table({"id": ["d0"]}, [{}]), fingerprint="")
    write_table(run.layout.image_scores(run.keys[0]), measures_table(keys, [{}] * 40), fingerprint="")
    fetched = {name: pa.nulls(40) for name in FETCHED_COLUMNS} | {"url": urls, "status": ["ok"] * 39 + ["timeout"]}
    write_table(run.layout.images(run.keys[0]), pa.table(fetched), fingerprint="")
    (facts,) = score(run).batches()
    found = np.array(facts.images.column("semantic_similarity").to_pylist(), dtype=float)
    assert np.isnan(found[39])
    assert int(decide(facts, run.recipe.steps).images.kept.sum()) == 30
    assert needs_pixels(run.recipe.steps[0])
