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

from made_measures import write_measures

from pipelines.explorer.loading import READY, Loading
from pipelines.layout import Layout
from pipelines.what_if import what_if

SLIDES = (
    "clip.min_score=0.27", "text_length.min_words=20", "text_length.min_words=200", "image_size.min_side=100",
    "language.min_confidence=0.7", "language.keep=[en, de, fr]", "text_length.min_words=null",
)  # fmt: skip


def slide(layout: Layout, runs: int) -> None:
    """Measure what `infimm explore` does after each move of a slider: counts, funnel, histograms."""
    start = time.perf_counter()
    loading = Loading(layout)
    thresholds = loading.thresholds()
    thresholds.recount([])  # what the page asks first
    print(f"explorer: {time.perf_counter() - start:.1f} s until the sliders are there")
    loading.study()
    print(f"          {time.perf_counter() - start:.1f} s until documents are")
    while loading.progress["stage"] != READY:
        time.sleep(0.1)
    print(f"          {time.perf_counter() - start:.1f} s until all pictures are compared")
    for change in SLIDES:
        seconds, cpu = [], []
        for _ in range(runs):
            start, started = time.perf_counter(), time.thread_time()
            thresholds.recount([change])
            seconds.append(time.perf_counter() - start)
            cpu.append(time.thread_time() - started)
        median = f"median {statistics.median(seconds):.2f} s, {statistics.median(cpu):.2f} s"
        print(f"  {change}: first {seconds[0]:.2f} s, {cpu[0]:.2f} s of the processor; {median}")


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
