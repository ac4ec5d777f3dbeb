"""Edit pass: documents as extracted -> documents as the recipe's edits leave them, every change counted by reason.

An edit that asks what stands on other pages is counted over the whole set first; which keys are repeated is kept, for
each work item, in groups/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from infimm_data.comparing import EditsRepeated
from infimm_data.document import Document
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
    read_table,
)
from pipelines.dedup.repeats import find_repeats, repeats_path
from pipelines.layout import Layout
from pipelines.passes.stages import stages_on
from pipelines.rates import IN
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 2  # raise when an edit changes what it leaves


def edit(run: Run) -> None:
    """Edit every unfinished work item, and note in `run.prints` which documents these are; nothing without edits."""
    edits = run.recipe.edits
    if not edits:
        return
    repeated = _count_repeats(run, edits)
    todo = []
    for item in run.items:
        settings = [(step.name, step.settings(), digests_of(step.filter)) for step in edits]
        print_ = fingerprint("edit", VERSION, settings, run.prints[item.key], *repeated.get(item.key, ()))
        run.prints[item.key] = print_
        if read_metadata(run.layout.documents(item.key))[0] != print_:
            todo.append((item, (edits, item.key, run.layout, print_)))
    run.go("edit", edit_item, todo, counted=lambda counts: {IN: counts["documents"]})


def _count_repeats(run: Run, edits: Sequence[Step]) -> dict[str, list[str]]:
    """Count what edits must know of the whole set; return a digest of what is repeated in each work item.

    Raises InfiMMError when counting fails. A work item in which nothing new is repeated is not edited again.
    """
    digests: dict[str, list[str]] = {}
    for number, step in enumerate(edits):
        if isinstance(step.filter, EditsRepeated):
            settings = [(one.name, one.settings(), digests_of(one.filter)) for one in edits[: number + 1]]
            print_ = fingerprint("repeats", VERSION, settings, [run.prints[item] for item in run.keys])
            paths = {item: repeats_path(run.layout, step.name, item) for item in run.keys}
            if any(read_metadata(path)[0] != print_ for path in paths.values()):
                memory, workers = run.recipe.dedup.memory_bytes, run.cluster.num_cpus
                stage = stages_on(run, step.name)
                find_repeats(
                    edits[: number + 1], run.layout, paths, share=memory // workers, print_=print_, stage=stage
                )
            for item, path in paths.items():
                digests.setdefault(item, []).append(read_metadata(path)[1]["digest"])
    return digests


def edit_item(edits: tuple[Step, ...], item: str, layout: Layout, print_: str) -> dict[str, Any]:
    """Write the edited documents of one work item; return the counts: those of extraction, and `edited` by step."""
    edited: dict[str, Counter[str]] = {step.name: Counter() for step in edits}
    repeated = {
        step.name: frozenset(read_table(repeats_path(layout, step.name, item)).column("key").to_pylist())
        for step in edits
        if isinstance(step.filter, EditsRepeated)
    }
    with open_table(layout.documents(item), DOCUMENTS, fingerprint=print_) as table:
        for document in read_documents(layout.extracted(item)):
            for step in edits:
                document, changes = _edited(step, document, repeated)
                edited[step.name].update(changes)
            table.add(document_row(document), document_chars(document))
        table.counts.update(read_metadata(layout.extracted(item))[1])
        table.counts["edited"] = {name: dict(sorted(counts.items())) for name, counts in edited.items()}
    return table.counts


def _edited(
    step: Step, document: Document, repeated: Mapping[str, frozenset[bytes]]
) -> tuple[Document, Mapping[str, int]]:
    if isinstance(step.filter, EditsRepeated):
        return step.filter.edit_repeated(document, repeated[step.name])
    assert isinstance(step.filter, EditsDocument)
    return step.filter.edit(document)
