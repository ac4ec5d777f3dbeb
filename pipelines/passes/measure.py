"""Measure pass: documents -> one row of measures per document and per image node, from what the dump itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infimm_data.comparing import GroupsDocuments
from infimm_data.document import Document, ImageNode, Measure, short_url
from infimm_data.rules import DUMP_PREFIX, MeasuresDocument, MeasuresImageNode, measured_with
from infimm_data.tables import fingerprint, measures_table, read_documents, read_metadata, write_table
from pipelines.layout import Layout
from pipelines.rates import would_drop
from pipelines.recipe import Step
from pipelines.run import Run
from pipelines.sources.contract import WorkItem

VERSION = 3  # raise when a filter measures something else under the same settings


def measure(run: Run) -> None:
    """Measure every unfinished work item."""
    todo = []
    for item in run.items:
        print_ = measure_print(run, item)
        if read_metadata(run.layout.document_scores(item.key))[0] != print_:
            todo.append((item, (run.recipe.steps, item.key, run.layout, print_)))
    run.go("measure", measure_item, todo, counted=dict)


def measure_print(run: Run, item: WorkItem) -> str:
    """Return the fingerprint of the measures: those documents, and what each step measures them with."""
    measuring = [(step.name, measured_with(step.filter)) for step in run.recipe.steps if _measures_text(step)]
    return fingerprint("measure", VERSION, run.prints[item.key], measuring)


def _measures_text(step: Step) -> bool:
    return isinstance(step.filter, MeasuresDocument | MeasuresImageNode | GroupsDocuments)


def measure_item(steps: tuple[Step, ...], item: str, layout: Layout, print_: str) -> dict[str, int]:
    """Write the measures of one work item; the documents' table comes last and says that both are there.

    Returns how many documents came in, and what the rules on their measures would drop.
    """
    ids: list[str] = []
    measures: list[dict[str, Measure | bytes]] = []
    image_ids: list[str] = []
    positions: list[int] = []
    urls: list[str] = []
    image_measures: list[dict[str, Measure | bytes]] = []
    for document in read_documents(layout.documents(item)):
        ids.append(document.id)
        measures.append(from_dump(document.measures) | measure_document(steps, document))
        for position, node in enumerate(document.nodes):
            if isinstance(node, ImageNode):
                image_ids.append(document.id)
                positions.append(position)
                urls.append(short_url(node.url))
                image_measures.append(from_dump(node.scores) | measure_image_node(steps, node))
    nothing = Document(id="", nodes=())  # measured for the names alone: a table without rows has all its columns
    names, image_names = measure_document(steps, nothing), measure_image_node(steps, ImageNode(url=""))
    images = measures_table({"id": image_ids, "node": positions, "url": urls}, image_measures, image_names)
    write_table(layout.image_scores(item), images, fingerprint=print_)
    documents = measures_table({"id": ids}, measures, names)
    write_table(layout.document_scores(item), documents, fingerprint=print_)
    return would_drop(steps, "document", documents)


def from_dump(measures: Mapping[str, Measure]) -> dict[str, Measure | bytes]:
    """Return what the dump measured under names that no filter uses."""
    return {f"{DUMP_PREFIX}{name}": value for name, value in measures.items()}


def measure_document(steps: tuple[Step, ...], document: Document) -> dict[str, Measure | bytes]:
    """Return what the steps measure on a document; signatures stand under `<step>_signature`."""
    found: dict[str, Any] = {}
    for step in steps:
        if isinstance(step.filter, MeasuresDocument):
            found.update(step.filter.measure(document))
        if isinstance(step.filter, GroupsDocuments):
            found[signature_column(step.name)] = step.filter.signature(document)
    return found


def measure_image_node(steps: tuple[Step, ...], node: ImageNode) -> dict[str, Measure | bytes]:
    """Return what the steps measure on an image node before it is fetched."""
    found: dict[str, Any] = {}
    for step in steps:
        if isinstance(step.filter, MeasuresImageNode):
            found.update(step.filter.measure_node(node))
    return found


def signature_column(name: str) -> str:
    """Return the column that holds what a grouping step compares."""
    return f"{name}_signature"
