"""Vectors are stored while images are scored, grow by what is missing, and are all that heads ask."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save

from filters.image_heads import ImageHeads
from filters.image_size import ImageSize
from filters.models.heads import METADATA
from infimm_data.errors import ConfigError
from infimm_data.rules import Level
from infimm_data.tables import measures_table, read_table, write_table
from pipelines.build import build
from pipelines.embeddings import read_embeddings
from pipelines.executor import PassReport
from pipelines.item_tables import load_facts
from pipelines.layout import Layout
from pipelines.life import documents_of
from pipelines.passes.score import worker_model
from pipelines.recipe import Step, load_recipe
from pipelines.run import Run
from pipelines.workers import Failure, attempt
from tests.pipelines.made_source import make_recipe


@dataclass(frozen=True, kw_only=True)
class MadeVectors:
    """The vector of an image is its mean colour, in three numbers; stands in for CLIP."""

    level: ClassVar[Level] = "image"
    stores_vectors_of: ClassVar[str | None] = ""

    def texts_for(self, document, node):
        return ()

    def load(self, device):
        return self

    def score(self, images, texts):
        means = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).mean((0, 1)) for data in images]
        return [{"embedding": (mean / np.linalg.norm(mean)).astype(np.float16)} for mean in means]

    def rules(self):
        return ()


@dataclass
class Here:
    """A cluster that runs every call here and now, and keeps what it was asked."""

    asked: dict[str, int] = field(default_factory=dict)
    num_cpus = 1
    num_gpus = 0

    def run(self, name, function, tasks, model=None, *, counted=None):
        self.asked[name] = len(tasks)
        given = (model.load(*model.arguments),) if model and tasks else ()
        results = [attempt(function, (*given, *task.arguments)) for task in tasks]
        failures = [
            Failure(task.name, found.problem, found.trace)
            for task, found in zip(tasks, results, strict=True)
            if isinstance(found, Failure)
        ]
        return PassReport(name, results, failures)


PAGES = [
    {"url": f"https://a.example/{n}", "nodes": ["Words.", {"image": f"https://a.example/{n}-{side}.png"}]}
    for n, side in enumerate([16, 24, 32, 40])
]


def head_file(path: Path, *, width=3, red=1.0) -> str:
    """A head that tells the first number of a vector."""
    weight = np.zeros((1, width), dtype=np.float32)
    weight[0, 0] = red
    named = {"linear_1.weight": weight, "linear_1.bias": np.zeros(1, dtype=np.float32)}
    norm = {"norm.mean": np.zeros(width, dtype=np.float32), "norm.variance": np.ones(width, dtype=np.float32)}
    path.write_bytes(save(named | norm, {METADATA: json.dumps({"output": "value", "clip": ""})}))
    return str(path)


@pytest.fixture
def go(tmp_path):
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "0.json").write_text(json.dumps(PAGES))
    (tmp_path / "dump" / "1.json").write_text(json.dumps([{"url": "https://b.example", "nodes": ["No image."]}]))

    def run_build(*, min_side=1, red=1.0, out="out", **bounds):
        heads = ImageHeads(heads={"red": head_file(tmp_path / "red.st", red=red)}, embeddings_of="vectors", **bounds)
        steps = (Step("image_size", ImageSize(min_side=min_side)), Step("vectors", MadeVectors()), Step("heads", heads))
        cluster = Here()
        run = Run(make_recipe(str(tmp_path / "dump"), steps), Layout(str(tmp_path / out)), cluster)  # type: ignore[arg-type]
        build(run)
        return run, cluster.asked

    return run_build


def vectors_of(run, item=0):
    return [
        (part.documents.to_pylist(), part.nodes.tolist(), part.vectors)
        for part in read_embeddings(run.layout, "vectors", run.items[item].key)
    ]


def test_vectors_are_stored_in_float16_and_read_back_with_their_images(go):
    run, _ = go()
    ((documents, nodes, vectors),) = vectors_of(run)
    assert (len(set(documents)), nodes) == (4, [1, 1, 1, 1])
    assert (vectors.dtype, vectors.shape) == (np.float16, (4, 3))
    assert np.linalg.norm(vectors.astype(np.float64), axis=1) == pytest.approx(np.ones(4), abs=1e-3)
    stored = pq.read_schema(run.layout.pair_scores("vectors", run.items[0].key)).field("embedding").type
    assert (pa.types.is_fixed_size_list(stored), stored.value_type) == (True, pa.float16())
    assert vectors_of(run, 1) == []


def test_what_is_wanted_later_is_added_to_what_is_there(go):
    go(min_side=30)
    run, asked = go()
    assert (asked["fetch"], asked["score vectors"], asked["score heads"]) == (0, 1, 1)
    ((documents, _, vectors),) = vectors_of(run)
    fresh, _ = go(out="fresh")
    ((expected, _, others),) = vectors_of(fresh)
    assert documents[:2] == expected[2:]
    assert dict(zip(documents, vectors.tolist(), strict=True)) == dict(zip(expected, others.tolist(), strict=True))
    assert [shard.sha256 for shard in run.shards] == [shard.sha256 for shard in fresh.shards]


def test_heads_read_vectors_alone_and_a_changed_bound_asks_nobody(go):
    run, _ = go()
    table = read_table(run.layout.pair_scores("heads", run.items[0].key))
    told = dict(zip(table.column("id").to_pylist(), table.column("head_red").to_pylist(), strict=True))
    ((documents, _, vectors),) = vectors_of(run)
    assert [told[document] for document in documents] == pytest.approx(vectors[:, 0].tolist(), abs=1e-3)
    bound = sorted(told.values())[2]
    later, asked = go(keep_at_least={"red": bound})
    assert (asked["score vectors"], asked["score heads"]) == (0, 0)
    funnel = json.loads(Path(later.layout.report("funnel.json")).read_text())
    assert {line["reason"]: line["dropped"] for line in funnel["steps"] if line["dropped"]} == {"red_low": 2}


def test_another_head_is_asked_again_and_no_image_is_looked_at(go):
    go()
    run, asked = go(red=2.0)
    assert (asked["score vectors"], asked["score heads"]) == (0, 2)
    assert max(read_table(run.layout.pair_scores("heads", run.items[0].key)).column("head_red").to_pylist()) > 1.0


def test_vectors_stay_out_of_facts_shards_and_lives(go):
    run, _ = go()
    assert "embedding" not in load_facts(run.layout, run.keys, run.recipe).images.column_names
    (life,) = documents_of(run.layout, "https://a.example/0")
    assert set(life.images[0].scores) >= {"head_red"}
    assert "embedding" not in life.images[0].scores


def test_a_head_that_is_not_there_stops_the_build_before_any_work(go, tmp_path):
    steps = (
        Step("vectors", MadeVectors()),
        Step("heads", ImageHeads(heads={"a": "none.pth"}, embeddings_of="vectors")),
    )
    run = Run(make_recipe(str(tmp_path / "dump"), steps), Layout(str(tmp_path / "never")), Here())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"none\.pth: no such file"):
        build(run)
    assert not (tmp_path / "never").exists()


def test_a_head_for_other_vectors_is_named_with_its_length(go, tmp_path):
    steps = (
        Step("vectors", MadeVectors()),
        Step("heads", ImageHeads(heads={"a": head_file(tmp_path / "5.st", width=5)}, embeddings_of="vectors")),
    )
    run = Run(make_recipe(str(tmp_path / "dump"), steps), Layout(str(tmp_path / "out")), Here())  # type: ignore[arg-type]
    build(run)
    (failure,) = [failure for report in run.reports for failure in report.failures]
    assert failure.problem == "head a reads vectors of 5 numbers, the stored ones have 3"


RECIPE = """
source: {kind: web_archive, path: dumps/}
steps:
  - {filter: clip_score, texts: caption%s}
  - {filter: image_heads, heads: {nsfw: head.pth}, keep_at_most: {nsfw: 0.1}}
"""


def test_a_recipe_whose_heads_have_no_vectors_is_a_config_error(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE % "")
    with pytest.raises(ConfigError, match=r"step 2: 'image_heads' reads vectors of 'clip_score'.*embeddings: image"):
        load_recipe(str(tmp_path / "r.yaml"))
    (tmp_path / "r.yaml").write_text(RECIPE % ", embeddings: image")
    assert load_recipe(str(tmp_path / "r.yaml")).steps[1].filter.keep_at_most == {"nsfw": 0.1}


@pytest.mark.parametrize(("gpus", "expected"), [(0, ("cpu", 0.0)), (8, ("cuda", 1.0))])
def test_each_worker_holds_the_model_on_a_gpu_of_its_own_where_there_are_any(gpus, expected):
    model = worker_model(MadeVectors(), gpus)
    assert (model.arguments[1], model.num_gpus) == expected


ITEM = "item"


def stored(tmp_path, rows) -> Layout:
    layout = Layout(str(tmp_path / "out"))
    table = measures_table({"id": [str(n) for n in range(len(rows))], "node": [0] * len(rows)}, rows)
    write_table(layout.pair_scores("clip_score", ITEM), table, fingerprint="")
    return layout


def test_images_without_a_vector_are_left_out(tmp_path):
    one = np.ones(2, dtype=np.float16)
    (part,) = read_embeddings(stored(tmp_path, [{"embedding": None}, {"embedding": one}]), "clip_score", ITEM)
    assert part.documents.to_pylist() == ["1"]
    assert list(read_embeddings(stored(tmp_path, [{"embedding": None}]), "clip_score", ITEM)) == []
    assert list(read_embeddings(stored(tmp_path, []), "clip_score", ITEM)) == []


def test_vectors_that_were_never_stored_are_one_line(tmp_path):
    layout = stored(tmp_path, [{"clip_score": 0.5}])
    with pytest.raises(ConfigError, match="no column 'embedding'; set embeddings: image in its step"):
        list(read_embeddings(layout, "clip_score", ITEM))
    with pytest.raises(ConfigError, match="has not scored this work item"):
        list(read_embeddings(layout, "clip_score", "other"))


def test_duckdb_and_arrow_see_numbers(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    path = stored(tmp_path, [{"embedding": np.array([0.5, -1.0], dtype=np.float16)}]).pair_scores("clip_score", ITEM)
    assert duckdb.sql(f"select id, embedding[2] from '{path}'").fetchall() == [("0", -1.0)]
