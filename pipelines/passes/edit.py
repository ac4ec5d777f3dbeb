"""Edit pass: documents as extracted -> documents as the recipe's edits leave them, every change counted by reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

from infimm_data.list_files import digests_of
from infimm_data.rules import EditsDocument
from infimm_data.tables import (
    DOCUMENTS,
    document_chars,
    document_row,
    fingerprint,
    open_table,
    read_documents,
    read_metadata,
)
from pipelines.layout import Layout
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 2  # raise when an edit changes what it leaves


def edit(run: Run) -> None:
    """Edit every unfinished work item, and note in `run.prints` which documents these are; nothing without edits."""
    edits = run.recipe.edits
    if not edits:
        return
    todo = []
    for item in run.items:
        settings = [(step.name, step.settings(), digests_of(step.filter)) for step in edits]
        print_ = run.prints[item.key] = fingerprint("edit", VERSION, settings, run.prints[item.key])
        if read_metadata(run.layout.documents(item.key))[0] != print_:
            todo.append((item, (edits, item.key, run.layout, print_)))
    run.go("edit", edit_item, todo)


def edit_item(edits: tuple[Step, ...], item: str, layout: Layout, print_: str) -> dict[str, Any]:
    """Write the edited documents of one work item; return the counts: those of extraction, and `edited` by step."""
    edited: dict[str, Counter[str]] = {step.name: Counter() for step in edits}
    with open_table(layout.documents(item), DOCUMENTS, fingerprint=print_) as table:
        for document in read_documents(layout.extracted(item)):
            for step in edits:
                assert isinstance(step.filter, EditsDocument)
                document, changes = step.filter.edit(document)
                edited[step.name].update(changes)
            table.add(document_row(document), document_chars(document))
        table.counts.update(read_metadata(layout.extracted(item))[1])
        table.counts["edited"] = {name: dict(sorted(counts.items())) for name, counts in edited.items()}
    return table.counts
