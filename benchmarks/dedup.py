"""The near-duplicate groups of a simulated set, within a memory limit: seconds of every stage, and a memory curve.

    python benchmarks/dedup.py --simulate 1000000 [--memory 2GB] [--workers 2] [--folder FOLDER] [--check]

Writes generated MinHash signatures first (50,000 documents a work item; two of ten documents are near copies of an
earlier one, one of a hundred is a page of one of ten templates), then runs the group pass on Ray as a build does. The
curve is the resident memory of the workers that run its tasks, less what each holds before it has done any, sampled
twice a second; the limit of the recipe bounds what the stages hold, which is most of it. --check compares the groups
with those that the same code finds in memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from filters.near_duplicate_text import NearDuplicateText
from infimm_data.links import group_signatures
from infimm_data.tables import read_table, write_table
from pipelines.dedup.signatures import batches
from pipelines.executor import Cluster
from pipelines.layout import Layout
from pipelines.passes.group import dedup_texts, parts_of
from pipelines.recipe import DedupSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.contract import WorkItem

PER_ITEM = 50_000
NAME = "near_duplicate_text"
NEAR = NearDuplicateText()


def work_items(documents: int) -> list[WorkItem]:
    """Return the work items of so many documents."""
    numbers = range(-(-documents // PER_ITEM))
    return [WorkItem(index=number, name=f"item{number}", path="", size_bytes=0) for number in numbers]


def write_signatures(layout: Layout, documents: int) -> None:
    """Write the signatures of so many documents."""
    items = work_items(documents)
    templates = np.random.default_rng(10**6).integers(0, 1 << 32, (10, NEAR.permutations), dtype=np.uint32)
    for number, item in enumerate(items):
        rng = np.random.default_rng(number)
        size = min(PER_ITEM, documents - number * PER_ITEM)
        rows = rng.integers(0, 1 << 32, (size, NEAR.permutations), dtype=np.uint32)
        copies = np.flatnonzero(rng.random(size) < 0.2)
        # The first documents of any earlier item can be made again without reading it.
        origin = np.random.default_rng(int(rng.integers(0, number + 1))).integers(
            0, 1 << 32, (size, NEAR.permutations), dtype=np.uint32
        )
        rows[copies] = origin[rng.integers(0, size, len(copies))]
        pages = np.flatnonzero(rng.random(size) < 0.01)
        rows[pages] = templates[rng.integers(0, 10, len(pages))]
        changed = np.concatenate([copies, pages])
        edits = rng.random((len(changed), NEAR.permutations)) < rng.choice([0, 0.05, 0.1, 0.4], len(changed))[:, None]
        rows[changed] = np.where(edits, rng.integers(0, 1 << 32, edits.shape, dtype=np.uint32), rows[changed])
        signatures = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(NEAR.signature_bytes), size, [None, pa.py_buffer(rows.astype("<u4").tobytes())]
        ).cast(pa.binary())
        ids = [f"{number * PER_ITEM + row:032x}" for row in range(size)]
        table = pa.table({"id": ids, f"{NAME}_signature": signatures})
        write_table(layout.document_scores(item.key), table, fingerprint="")


class Memory(threading.Thread):
    """Samples what Ray's workers hold, in bytes, with the second of each sample."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []
        self.is_done = False

    def run(self) -> None:
        start, least = time.monotonic(), {}
        while not self.is_done:
            held = 0
            for pid, size in workers_rss():
                least[pid] = min(size, least.get(pid, size))
                held += size - least[pid]
            self.samples.append((time.monotonic() - start, held))
            time.sleep(0.5)


def workers_rss() -> list[tuple[int, int]]:
    """Return (pid, resident bytes of its own) of the Ray workers below this process."""
    parents, names, found = {}, {}, []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                names[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")[0]
                parents[int(folder.name)] = int(stat[1])
            except OSError:
                continue
    page = os.sysconf("SC_PAGE_SIZE")
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and names[pid].startswith(b"ray::"):
            try:
                resident, shared = (int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            except OSError:
                continue
            found.append((pid, (resident - shared) * page))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, default=1_000_000, metavar="DOCUMENTS")
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--folder", help="write the signatures here and keep them; found there, they are not made again"
    )
    parser.add_argument("--check", action="store_true", help="find the groups in memory too, and compare")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, Cluster(workers=arguments.workers) as cluster:
        layout = Layout(arguments.folder or made)
        items = work_items(arguments.simulate)
        if not Path(layout.document_scores(items[-1].key)).exists():
            start = time.monotonic()
            write_signatures(layout, arguments.simulate)
            print(f"{arguments.simulate} signatures written in {time.monotonic() - start:.0f} s")
        Path(layout.groups(NAME)).unlink(missing_ok=True)
        recipe = Recipe("made", "", None, (Step(NAME, NEAR),), None, None, DedupSettings(memory=arguments.memory))
        run = Run(recipe, layout, cluster)
        run.items = items
        run.prints = dict.fromkeys(run.keys, "")
        _ = cluster.num_cpus  # starts Ray, which is not what is measured
        memory = Memory()
        memory.start()
        start = time.monotonic()
        dedup_texts(run)
        seconds = time.monotonic() - start
        memory.is_done = True
        groups = read_table(layout.groups(NAME)).column(f"{NAME}_group").to_pylist()
        if arguments.check:
            check(layout, items, groups)
    report(arguments, groups, seconds, memory)


def check(layout: Layout, items: list[WorkItem], groups: list[str | None]) -> None:
    """Compare the groups with those found in memory; raises AssertionError where they differ."""
    parts = parts_of(layout, [item.key for item in items], f"{NAME}_signature")
    signatures = [
        row.tobytes() for part in parts for _, rows in batches(part, NEAR.signature_bytes, 1 << 14) for row in rows
    ]
    labels = group_signatures(NEAR, signatures)
    sizes = np.bincount(labels, minlength=len(labels))
    first = [f"{items[at // PER_ITEM].key}/{at % PER_ITEM}" if sizes[at] > 1 else None for at in labels.tolist()]
    assert first == groups, "the groups differ from those found in memory"
    print("the groups are those found in memory")


def report(arguments: argparse.Namespace, groups: list[str | None], seconds: float, memory: Memory) -> None:
    """Print what was found, in what time, and the curve."""
    grouped = [group for group in groups if group is not None]
    print(f"{len(groups)} documents, {len(set(grouped))} groups of {len(grouped)} documents")
    print(f"{seconds:.1f} s, {len(groups) / seconds:.0f} documents/s", end=", ")
    print(f"{arguments.workers} workers, limit {arguments.memory}")
    print(f"peak of the workers' own memory {max(held for _, held in memory.samples) / 1e6:.0f} MB; MB at second:")
    step = max(1, len(memory.samples) // 40)
    curve = [max(memory.samples[at : at + step], key=lambda one: one[1]) for at in range(0, len(memory.samples), step)]
    print(" ".join(f"{at:.0f}:{held / 1e6:.0f}" for at, held in curve))


if __name__ == "__main__":
    main()
