"""The funnel: what came in, what was kept, what was dropped by which step and why; as JSON and as a table."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infimm_data.files import exists, read_bytes, write_bytes
from infimm_data.rules import Level
from infimm_data.shards import ShardInfo
from infimm_data.tables import read_metadata
from pipelines.facts import BatchedFacts
from pipelines.layout import Layout
from pipelines.passes.outcome import Decisions
from pipelines.passes.verdicts import WITH_DOCUMENT
from pipelines.run import Run

BENCHMARKS = ("benchmark_text", "benchmark_image")
"""The steps that look for benchmarks, and their measures that name them."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def write_funnel(run: Run, facts: BatchedFacts, decisions: Decisions) -> None:
    """Write report/funnel.json: the same bytes for the same result."""
    write_bytes(run.layout.report("funnel.json"), _json(funnel(run, facts, decisions)))


def write_passes(run: Run) -> None:
    """Write report/passes.json: what each pass of this run did and took, and what failed in it.

    `last_work` is of the last run in which the pass had anything to do, so that a run without work keeps the times.
    """
    path = run.layout.report("passes.json")
    before = {entry["pass"]: entry.get("last_work") for entry in (json.loads(read_bytes(path)) if exists(path) else [])}
    entries = passes(run)
    for entry in entries:
        did = {"work_items": entry["work_items"], "seconds": entry["seconds"]}
        entry["last_work"] = did if entry["work_items"] else before.get(entry["pass"])
    write_bytes(path, _json(entries))


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def funnel(run: Run, facts: BatchedFacts, decisions: Decisions) -> dict[str, Any]:
    """Return the whole funnel as plain data.

    Raises AssertionError when kept + dropped is not what came in, which would be a fault of ours.
    """
    for level, verdicts in (("document", decisions.documents), ("image", decisions.images)):
        dropped = sum(line.dropped for line in decisions.funnel if line.level == level)
        lost = int((verdicts.line == WITH_DOCUMENT).sum())
        assert int(verdicts.kept.sum()) + dropped + lost == len(verdicts.line), f"{level}s: kept + dropped = in"
    dump = _dump_counts(run.layout, run.keys)
    is_compared = any(step.name in BENCHMARKS for step in run.recipe.steps)
    return {
        "dump": {"work_items": len(run.items), **dump},
        "fetched": _sum(read_metadata(run.layout.images(item))[1] for item in run.keys),
        "benchmarks": benchmark_counts(facts) if is_compared else {},
        "steps": [asdict(line) for line in decisions.funnel],
        "documents": {"in": facts.num_documents, "kept": int(decisions.documents.kept.sum())},
        "images": {
            "in": facts.num_images,
            "kept": int(decisions.images.kept.sum()),
            "lost_with_document": int((decisions.images.line == WITH_DOCUMENT).sum()),
        },
        "shards": None if run.shards is None else _shard_counts(run.shards),
    }


def benchmark_counts(facts: BatchedFacts) -> dict[str, dict[str, int]]:
    """Return how many documents and images of the set, kept or not, each benchmark was found in."""
    found: dict[str, dict[str, int]] = {}
    columns: dict[Level, tuple[str, ...]] = {"document": BENCHMARKS, "image": BENCHMARKS}
    for part in (facts.of_item(item, columns) for item in facts.items):
        for level, table in (("documents", part.documents), ("images", part.images)):
            for measure in (name for name in BENCHMARKS if name in table.column_names):
                counted = pc.value_counts(table.column(measure).cast(pa.string()).drop_null())
                for entry in counted.to_pylist():
                    for name in entry["values"].split(","):
                        of_name = found.setdefault(name, {"documents": 0, "images": 0})
                        of_name[level] += entry["counts"]
    return dict(sorted(found.items()))


def _shard_counts(shards: Sequence[ShardInfo]) -> dict[str, int]:
    return {
        "count": len(shards),
        "documents": sum(shard.num_documents for shard in shards),
        "images": sum(shard.num_images for shard in shards),
        "bytes": sum(shard.size_bytes for shard in shards),
    }


def _dump_counts(layout: Layout, items: list[str]) -> dict[str, Any]:
    counts = [read_metadata(layout.documents(item))[1] for item in items]
    damaged = [
        {"work_item": item, **example}
        for item, found in zip(items, counts, strict=True)
        for example in found["examples"].get("damaged_record", [])
    ]
    return {
        "documents": sum(found["documents"] for found in counts),
        "skipped": _sum(found["skipped"] for found in counts),
        "fixed": _sum(found.get("fixed", {}) for found in counts),
        "edited": _edited(counts),
        "damaged": damaged,
    }


def _edited(counts: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return what each edit changed or dropped inside documents, by reason, over all work items."""
    names = dict.fromkeys(name for found in counts for name in found.get("edited", {}))
    return {name: _sum(found.get("edited", {}).get(name, {}) for found in counts) for name in names}


def _sum(counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for found in counts:
        total.update(found)
    return dict(sorted(total.items()))


def passes(run: Run) -> list[dict[str, Any]]:
    """Return what each pass of this run took, and which work items failed, with their traces."""
    return [
        {
            "pass": report.name,
            "work_items": len(report.results),
            "seconds": round(report.seconds, 2),
            "failures": [asdict(failure) for failure in report.failures],
        }
        for report in run.reports
    ]


def funnel_or_none(layout: Layout) -> dict[str, Any] | None:
    """Return the stored funnel, or None while the build has not come as far as its decisions."""
    try:
        found: dict[str, Any] = json.loads(read_bytes(layout.report("funnel.json")))
    except FileNotFoundError:
        return None
    return found


def show_funnel(data: dict[str, Any], console: Console) -> None:
    """Print the funnel as a table, one line per reason that dropped something."""
    table = Table(title="Funnel", title_justify="left", box=SIMPLE_HEAD)
    for name in ("step", "level", "reason", "threshold"):
        table.add_column(name, overflow="fold", no_wrap=name == "reason")  # a reason is read whole, however narrow
    for name in ("came in", "dropped", "%"):
        table.add_column(name, justify="right")
    for reason, number in data["dump"]["skipped"].items():
        table.add_row("dump", "record", printable(reason), "", "", str(number), "")
    for reason, number in data["dump"].get("fixed", {}).items():
        table.add_row("dump", "fixed", printable(reason), "", str(number), "0", "")
    for step, reasons in data["dump"].get("edited", {}).items():
        for reason, number in reasons.items():
            table.add_row(printable(step), "text", printable(reason), "", "", str(number), "")
    for line in data["steps"]:
        if line["dropped"]:
            share = f"{100 * line['dropped'] / line['came_in']:.1f}"
            cells = (line["step"], line["level"], line["reason"], line["threshold"], line["came_in"], line["dropped"])
            table.add_row(*(Text(printable(str(cell))) for cell in cells), share)
    console.print(table)
    for name, counts in data.get("benchmarks", {}).items():
        say(console, f"benchmark {name}: found in {counts['documents']} documents and {counts['images']} images")
    for level in ("documents", "images"):
        say(console, f"{level}: {data[level]['in']} in the dump, {data[level]['kept']} kept")
    shards = data["shards"]
    if shards is None:
        say(console, "shards: not packed")
        return
    sums = f"{shards['documents']} documents, {shards['images']} images, {shards['bytes'] / 1e6:.1f} MB"
    say(console, f"shards: {shards['count']}, {sums}")


def printable(text: str) -> str:
    """Return `text` without control characters, which could drive the terminal; line breaks and tabs stay."""
    return _CONTROL.sub("\ufffd", text)


def say(console: Console, text: str, *, style: str | None = None) -> None:
    """Print text as it is: brackets are no markup, lines are not cut to the width of the terminal."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True, emoji=False)
