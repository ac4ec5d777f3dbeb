"""The road from a dump to shards, pass by pass; what is finished is not done again."""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

import yaml

from infimm_data.errors import InfiMMError
from infimm_data.files import remove_leftovers, write_bytes
from pipelines.passes.decide import decide
from pipelines.passes.decisions import write_decisions
from pipelines.passes.extract import extract
from pipelines.passes.fetch import fetch
from pipelines.passes.group import dedup_texts
from pipelines.passes.measure import measure
from pipelines.passes.pack import pack
from pipelines.passes.score import score
from pipelines.report import write_report
from pipelines.run import Run

log = logging.getLogger(__name__)

Pass = Literal["extract", "measure", "dedup", "fetch", "score", "decide", "pack"]
PASSES: tuple[Pass, ...] = get_args(Pass)
"""The passes in their order; each needs those before it."""


def build(run: Run, until: Pass = "pack") -> None:
    """Run the passes up to and including `until`; from `decide` on, also write the report.

    Raises InfiMMError when no work item survives a pass. A failed item is named in `run.reports`.
    """
    wanted = PASSES[: PASSES.index(until) + 1]
    prepare(run)
    extract(run)
    _anything_left(run)
    if "measure" in wanted:
        measure(run)
    if "dedup" in wanted:
        dedup_texts(run)
    if "fetch" in wanted:
        fetch(run)
    _anything_left(run)
    if "score" in wanted:
        facts = score(run)
        _anything_left(run)
        if "decide" in wanted:
            decisions = decide(facts, run.recipe.steps)
            write_decisions(facts, decisions, run.indices, run.layout)
            if "pack" in wanted:
                pack(run, facts, decisions)
            write_report(run, facts, decisions)


def prepare(run: Run) -> None:
    """List the work items, clear what a killed run left half-written, and write the resolved recipe."""
    run.items = run.recipe.source.work_items()
    left = remove_leftovers(run.layout.out)
    if left:
        log.info("removed=%d files that an interrupted run left unfinished", left)
    text = yaml.safe_dump(_plain(run.recipe.resolved()), sort_keys=False, allow_unicode=True)
    write_bytes(run.layout.recipe, f"# resolved from {run.recipe.path}\n{text}".encode())


def _plain(value: Any) -> Any:
    """Turn tuples into lists, which YAML writes without tags."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _anything_left(run: Run) -> None:
    if not run.items:
        last = run.reports[-1].failures[-1]
        raise InfiMMError(f"{run.recipe.path}: every work item failed, the last {last.name}: {last.problem}")
