"""Deciding on up to tens of millions of documents on one machine: seconds and a memory curve of decide and what-if.

    python benchmarks/decide.py [--documents 1000000] [--memory 2GB] [--folder FOLDER] [--into FOLDER]

Writes made measures first (`benchmarks.made_measures`), then runs in a process of its own each: "decide", as a build
does once all is measured (images are compared, the verdict of every document and image is written), and "what-if",
which compares and decides twice and writes nothing. The curve is the memory of the process's own (RssAnon),
sampled ten times a second, less what it holds once its modules are loaded; pages of files, which the system drops when
it needs room, are told beside it (RssFile). --into: for curves.json and curves.png.
Limit: one process; the measures are random, so the decisions mean nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import matplotlib.figure
import yaml
from made_measures import write_measures

from infimm_data.comparing import GroupsImages
from pipelines.executor import Cluster
from pipelines.layout import Layout
from pipelines.passes.decide import decide
from pipelines.passes.decisions import write_decisions
from pipelines.passes.group import gather, group_images, write_image_groups
from pipelines.passes.outcome import Decisions
from pipelines.recipe import parse_size
from pipelines.run import Run
from pipelines.stored import stored_items, stored_recipe
from pipelines.what_if import what_if

SAMPLE_S = 0.1
CHANGES = ["clip=0.27", "text_length.min_words=20"]


class Memory(threading.Thread):
    """Samples what this process holds, in bytes: (second, its own, pages of files)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int, int]] = []
        self.is_done = False

    def run(self) -> None:
        start = time.monotonic()
        while not self.is_done:
            lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            own, files = (int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
            self.samples.append((round(time.monotonic() - start, 2), own, files))
            time.sleep(SAMPLE_S)


def decide_as_a_build(layout: Layout, memory: str) -> dict[str, int]:
    """Compare the images, decide, and write what was found, as a build does."""
    with_limit(layout, memory)
    run = Run(stored_recipe(layout), layout, Cluster(), items=stored_items(layout))
    facts = gather(run)
    for number, step in enumerate(run.recipe.steps):
        if isinstance(step.filter, GroupsImages):
            found = group_images(step.filter, facts, decide(facts, run.recipe.steps[:number]).images.kept)
            write_image_groups(step.name, found, facts, layout)
            facts = facts.with_found(found)
    decisions = decide(facts, run.recipe.steps)
    write_decisions(decisions, run.items, layout)
    return kept(decisions)


def ask_what_if(layout: Layout, memory: str) -> dict[str, int]:
    """Decide as it was and as it would be."""
    with_limit(layout, memory)
    return kept(what_if(layout, CHANGES).then)


PASSES = {"decide": decide_as_a_build, "what-if": ask_what_if}


def kept(decisions: Decisions) -> dict[str, int]:
    """Return how many documents and images stay."""
    return {"documents": int(decisions.documents.kept.sum()), "images": int(decisions.images.kept.sum())}


def with_limit(layout: Layout, memory: str) -> None:
    """Write the limit into the stored recipe."""
    recipe = yaml.safe_load(Path(layout.recipe).read_text())
    Path(layout.recipe).write_text(yaml.safe_dump(recipe | {"dedup": {"memory": memory}}, sort_keys=False))


def measure(name: str, folder: str, memory: str, told: str) -> None:
    """Run one pass in this process, and tell what it took."""
    sampler = Memory()
    sampler.start()
    time.sleep(2 * SAMPLE_S)
    start, cpu = time.monotonic(), time.process_time()
    found = PASSES[name](Layout(folder), memory)
    seconds, cpu_s = time.monotonic() - start, time.process_time() - cpu
    sampler.is_done = True
    sampler.join()
    before = sampler.samples[0][1]
    Path(told).write_text(json.dumps({
        "pass": name,
        "kept": found,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_s, 1),
        "peak_bytes": max(own for _, own, _ in sampler.samples) - before,
        "peak_with_file_pages_bytes": max(own + files for _, own, files in sampler.samples),
        "curve": [(at, own - before, files) for at, own, files in thinned(sampler.samples)],
    }))  # fmt: skip


def thinned(samples: list[tuple[float, int, int]], count: int = 400) -> list[tuple[float, int, int]]:
    """Return at most so many samples, each the highest of its stretch."""
    step = -(-len(samples) // count)
    return [max(samples[at : at + step], key=lambda one: one[1]) for at in range(0, len(samples), step)]


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw the curves of all runs, one panel a pass; the limit is the dashed line."""
    figure = matplotlib.figure.Figure(figsize=(9, 3.2 * len(PASSES)), layout="constrained")
    for axes, name in zip(figure.subplots(len(PASSES), squeeze=False).flat, PASSES, strict=True):
        for run in (one for one in runs if one["pass"] == name):
            label = f"{run['documents'] / 1e6:g} million documents, {run['seconds']:.0f} s"
            axes.plot(
                [at / run["seconds"] for at, *_ in run["curve"]], [own / 1e9 for _, own, _ in run["curve"]], label=label
            )
        for limit in {one["memory_bytes"] for one in runs}:
            axes.axhline(limit / 1e9, linestyle="--", color="0.5")
        axes.set(title=name, xlabel="share of the run", ylabel="memory of its own, GB", ylim=(0, None))
        axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print; runs of other sizes that --into holds stay in the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--folder", help="write the measures here and keep them; found there, they are not made again")
    parser.add_argument("--into", help="write curves.json and curves.png here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        layout = Layout(arguments.folder or made)
        if not Path(layout.decided_items).exists():
            write_measures(layout, arguments.documents)
        runs = [run_apart(name, layout.out, arguments) for name in PASSES]
    if arguments.into:
        into = Path(arguments.into)
        into.mkdir(parents=True, exist_ok=True)
        known = json.loads((into / "curves.json").read_text()) if (into / "curves.json").exists() else []
        runs += [one for one in known if one["documents"] != arguments.documents]
        runs.sort(key=lambda one: (one["documents"], one["pass"]))
        (into / "curves.json").write_text(json.dumps(runs) + "\n")
        draw(runs, into / "curves.png")


def run_apart(name: str, folder: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one pass in a new process; print and return what it took."""
    context = multiprocessing.get_context("spawn")
    with tempfile.NamedTemporaryFile() as told:
        process = context.Process(target=measure, args=(name, folder, arguments.memory, told.name))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name}: the process ended with {process.exitcode}")
        run: dict[str, Any] = json.loads(Path(told.name).read_text())
    run |= {"documents": arguments.documents, "memory_bytes": parse_size(arguments.memory)}
    print(
        f"{name} of {arguments.documents} documents, limit {arguments.memory}: {run['seconds']} s, "
        f"{run['cpu_seconds']} s of CPU, peak {run['peak_bytes'] / 1e6:.0f} MB, with pages of files "
        f"{run['peak_with_file_pages_bytes'] / 1e6:.0f} MB; keeps {run['kept']}"
    )
    return run


if __name__ == "__main__":
    main()
