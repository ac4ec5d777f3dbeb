"""What a report counts beside the funnel: in how many documents and images each benchmark was found."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from rich.console import Console

from filters.benchmark_image import BenchmarkImage
from filters.benchmark_text import BenchmarkText
from infimm_data.benchmarks import key_bytes, text_keys, write_index
from infimm_data.document import Document, TextNode
from pipelines.passes.decide import decide
from pipelines.passes.group import group_images
from pipelines.recipe import Step
from pipelines.report import benchmark_counts, show_funnel
from tests.pipelines.made_facts import make_facts

QUESTION = "which of the two boats on the lake has the larger red sail"


def leaked(tmp_path, *, drops=True):
    """Facts of three pages with four images, of which one page and two images are of benchmarks, and the steps."""
    index = str(tmp_path / "index.parquet")
    rows = [("vqa", "ngram", length, key_bytes(key)) for length, key in text_keys([QUESTION])]
    write_index(index, [*rows, ("vqa", "phash", 0, key_bytes(0)), ("mme", "sha256", 0, bytes(32))], {})
    text = BenchmarkText(index=index) if drops else BenchmarkText(index=index, max_ngrams=None)
    image = BenchmarkImage(index=index) if drops else BenchmarkImage(index=index, min_distance=None)
    measured = [text.measure(Document(id="0", nodes=(TextNode(text=words),))) for words in (QUESTION, "other", "")]
    documents = {name: [one[name] for one in measured] for name in measured[0]} | {"id": ["a", "b", "c"]}
    images = {
        "phash": pa.array([3, 2**64 - 1, 2**63, 0xFFFFFFFF << 8], pa.uint64()),
        "sha256": ["1", "00" * 32, "2", "3"],
    }
    facts = make_facts(documents, images, [0, 1, 1, 2])
    facts = facts.with_found(group_images(image, facts, np.array([True, True, False, True])))
    return facts, [Step("benchmark_text", text), Step("benchmark_image", image)]


def test_what_is_of_a_benchmark_is_dropped_and_counted(tmp_path):
    facts, steps = leaked(tmp_path)
    assert benchmark_counts(facts) == {"mme": {"documents": 0, "images": 1}, "vqa": {"documents": 1, "images": 1}}
    found = decide(facts, steps)
    assert found.documents.reason.tolist() == ["benchmark_question", "", ""]
    assert found.images.reason.tolist() == ["document_dropped", "benchmark_image", "", ""]


def test_a_recipe_may_count_alone(tmp_path):
    facts, steps = leaked(tmp_path, drops=False)
    assert benchmark_counts(facts)["vqa"] == {"documents": 1, "images": 1}
    assert decide(facts, steps).documents.kept.all()
    assert decide(facts, steps).images.kept.all()


def test_a_build_without_benchmarks_counts_none():
    assert benchmark_counts(make_facts({"id": ["a"]}, {}, [0])) == {}


def test_the_counts_are_printed_with_the_funnel():
    level = {"in": 1, "kept": 1}
    counts = {"mme": {"documents": 2, "images": 3}}
    data = {
        "dump": {"skipped": {}},
        "steps": [],
        "documents": level,
        "images": level,
        "shards": None,
        "benchmarks": counts,
    }
    out = io.StringIO()
    show_funnel(data, Console(file=out))
    assert "benchmark mme: found in 2 documents and 3 images\n" in out.getvalue()
