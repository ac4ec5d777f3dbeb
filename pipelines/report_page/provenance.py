"""How a result came about: the recipe, the versions, the dump's files, the checksums, the time of each pass."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow.compute as pc

from infimm_data.files import exists, read_bytes
from infimm_data.tables import read_table
from pipelines.layout import Layout
from pipelines.report_page.page import Markup, counted, escaped, joined, paragraph, table
from pipelines.study import Study

PACKAGES = (
    "infimm", "ray", "pyarrow", "numpy", "torch", "open_clip_torch", "transformers", "pillow", "selectolax", "rensa",
    "fasttext-numpy2", "matplotlib",
)  # fmt: skip
LAST = "pack"  # the pass whose tasks are shards, not work items
MOST_ROWS = 100  # of a table; shards/manifest.json names all


def provenance(study: Study) -> Markup:
    """Return the recipe, the versions, the files of the dump and the checksum of every shard."""
    stored = read_bytes(study.layout.recipe)
    recipe = stored.decode("utf-8", "replace")
    parts = [
        f"<h3>Recipe, every default written out</h3><pre tabindex=0>{escaped(recipe)}</pre>",
        paragraph(f"sha256 of this recipe.yaml: {hashlib.sha256(stored).hexdigest()}", kind="muted"),
        table(("what", "version"), versions(), caption="Versions that wrote this page"),
    ]
    names = {
        item: pc.unique(read_table(study.layout.documents(item), columns=["dump"]).column("dump")).to_pylist()
        for item in study.facts.items[:MOST_ROWS]
    }
    dump = [(item, ", ".join(map(str, found)) or "no document") for item, found in names.items()]
    parts.append(table(("work item", "file of the dump"), dump, caption=_of(len(study.facts.items), "work item")))
    if study.shards:
        rows = [(s.name, s.num_documents, s.num_images, s.size_bytes, s.sha256) for s in study.shards[:MOST_ROWS]]
        head = ("shard", "documents", "images", "bytes", "sha256")
        parts.append(table(head, rows, caption=_of(len(study.shards), "shard")))
    return joined(parts)


def _of(number: int, what: str) -> str:
    return counted(number, what) + (f", the first {MOST_ROWS}" if number > MOST_ROWS else "")


def versions() -> list[tuple[str, str]]:
    """Return the versions of Python and of the packages that shape a result."""
    found = [("Python", platform.python_version()), ("system", f"{platform.system()} {platform.machine()}")]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "not installed"))
    return found


def throughput(layout: Layout, funnel: Mapping[str, Any]) -> Markup:
    """Return what each pass did and took, in the last run in which it had work, and its rate.

    Documents and images per second are said where that run did the whole work: a resumed one did a part.
    """
    path = layout.report("passes.json")
    entries = json.loads(read_bytes(path)) if exists(path) else []
    whole = {
        "extract": ("documents", funnel["dump"]["documents"]),
        "measure": ("documents", funnel["dump"]["documents"]),
        "fetch": ("images asked for", sum(funnel["fetched"].values())),
        LAST: ("documents", (funnel["shards"] or {}).get("documents", 0)),
    }
    items = funnel["dump"]["work_items"]
    rows: list[tuple[object, ...]] = []
    for entry in entries:
        work = entry.get("last_work")
        if work is None:
            continue
        name, seconds, done = entry["pass"], max(work["seconds"], 0.01), work["work_items"]
        unit, number = whole.get(name, ("", 0))
        tasks = (funnel["shards"] or {}).get("count") if unit and name == LAST else items
        rate = f"{number / seconds:,.0f} {unit}/s" if unit and done == tasks else ""
        rows.append((name, done, float(work["seconds"]), done / seconds, rate, len(entry["failures"])))
    head = ("pass", "tasks", "seconds", "tasks/s", "rate", "failed in the last run")
    return table(head, rows, caption="The last run of each pass that had work to do")
