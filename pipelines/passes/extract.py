"""Extract pass: a work item of the dump -> documents, with every record that became none counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from infimm_data.document import Document
from infimm_data.files import identity
from infimm_data.tables import DOCUMENTS, document_chars, document_row, fingerprint, open_table, read_metadata
from pipelines.rates import IN
from pipelines.recipe import Recipe
from pipelines.run import Run
from pipelines.sources.contract import Fixed, Skipped, Source, WorkItem

VERSION = 2  # raise when the extraction changes what it writes, so that old documents are made again
EXAMPLES_PER_REASON = 20  # records named per reason and work item: enough to look at, bounded on a hostile dump


def extract(run: Run) -> None:
    """Turn every unfinished work item into documents, and note in `run.prints` which documents these are."""
    todo = []
    for item in run.items:
        print_ = run.prints[item.key] = extract_print(run.recipe, item)
        path = run.layout.extracted(item.key) if run.recipe.edits else run.layout.documents(item.key)
        if read_metadata(path)[0] != print_:
            todo.append((item, (run.recipe.source, item, path, print_)))
    run.go("extract", extract_item, todo, counted=records)


def extract_print(recipe: Recipe, item: WorkItem) -> str:
    """Return the fingerprint of a work item's documents: how it is read, and which file it is now."""
    listing = getattr(recipe.source, "listing", ("path",))
    settings = {key: value for key, value in recipe.resolved()["source"].items() if key not in listing}
    return fingerprint("extract", VERSION, settings, item.name, *map(identity, (item.path, *item.beside)))


def extract_item(source: Source, item: WorkItem, path: str, print_: str) -> dict[str, Any]:
    """Write the documents of one work item to `path`; return its counts.

    counts: documents; skipped {reason: number} and examples {reason: [{offset, url, detail}]} of them; fixed and
    fixed_examples likewise.
    """
    skipped: Counter[str] = Counter()
    fixed: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = {}
    fixed_examples: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    with open_table(path, DOCUMENTS, fingerprint=print_) as table:
        for found in source.read(item):
            if isinstance(found, Document):
                if found.id not in seen:
                    seen.add(found.id)
                    table.add(document_row(found), document_chars(found))
                    continue
                origin = found.origin  # the same record twice: a sample's key must name one document
                found = Skipped(reason="repeated_record", offset=origin.offset, url=origin.url)
            numbers, named = (fixed, fixed_examples) if isinstance(found, Fixed) else (skipped, examples)
            numbers[found.reason] += 1
            _name_example(named, found)
        table.counts.update(documents=len(seen), skipped=dict(sorted(skipped.items())), examples=examples)
        table.counts.update(fixed=dict(sorted(fixed.items())), fixed_examples=fixed_examples)
    return table.counts


def records(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return how many records came in, and what they were not documents for."""
    skipped: dict[str, int] = counts["skipped"]
    return {IN: counts["documents"] + sum(skipped.values()), **skipped}


def _name_example(examples: dict[str, list[dict[str, Any]]], found: Skipped | Fixed) -> None:
    named = examples.setdefault(found.reason, [])
    if len(named) < EXAMPLES_PER_REASON:
        named.append({"offset": found.offset, "url": found.url[:500], "detail": found.detail[:500]})
