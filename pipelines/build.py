"""The road from a dump to shards, pass by pass; what is finished is not done again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

import yaml

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import absolute, alone_in, exists, remove_leftovers, resolve, write_bytes
from infimm_data.list_files import files_of
from pipelines.facts import BatchedFacts
from pipelines.layout import Layout, refuse_numbered
from pipelines.passes.crawl import crawl
from pipelines.passes.decide import decide
from pipelines.passes.decisions import write_decisions
from pipelines.passes.edit import edit
from pipelines.passes.extract import extract
from pipelines.passes.fetch import fetch
from pipelines.passes.group import check_earlier, dedup_texts, write_indices
from pipelines.passes.heads import check_heads
from pipelines.passes.measure import measure
from pipelines.passes.outcome import Decisions
from pipelines.passes.pack import pack
from pipelines.passes.score import score
from pipelines.recipe import plain
from pipelines.report import write_funnel, write_passes
from pipelines.run import Run
from pipelines.takedown import honouring_takedowns

log = logging.getLogger(__name__)

Pass = Literal["crawl", "extract", "edit", "measure", "dedup", "fetch", "score", "decide", "pack"]
PASSES: tuple[Pass, ...] = get_args(Pass)
"""The passes in their order; each needs those before it."""

GREEDY_FROM, GREEDY_SHARE = 1_000, 0.99  # as grain's filter does: it reports, with figures, what keeps next to nothing

_STORING: dict[Pass, Callable[[Run], None]] = {
    "crawl": crawl,
    "extract": extract,
    "edit": edit,
    "measure": measure,
    "dedup": dedup_texts,
    "fetch": fetch,
}
"""The passes whose whole result lies in files."""


def build(run: Run, until: Pass = "pack") -> None:
    """Run the passes up to and including `until`; from `decide` on, also write the funnel.

    report/passes.json (times, and every failure with its trace) is written however it ends. A failed item is named
    in `run.reports`. Raises ConfigError when `run.layout.out` cannot be written or is of a version that numbered its
    work items, InfiMMError when no work item survives a pass.
    """
    run.layout = Layout(absolute(run.layout.out))  # workers have working folders of their own
    run.items = run.recipe.source.work_items()
    refuse_numbered(run.layout)
    _check_needs(run)
    with _alone_in(run.layout.out):
        prepare(run)
        try:
            _run_passes(run, PASSES[: PASSES.index(until) + 1])
        finally:
            write_passes(run)


def _check_needs(run: Run) -> None:
    """Raise ConfigError where something that a later pass reads is not there: hours of extraction come before it."""
    for step in run.recipe.steps:
        for path in files_of(step.filter):
            if not exists(resolve(path)):
                raise ConfigError(f"{run.recipe.path}: step '{step.name}': {path}: no such file; correct the path")
    check_heads(run.recipe)
    check_earlier(run)


@contextmanager
def _alone_in(out: str) -> Iterator[None]:
    """Hold the folder; raises ConfigError when it cannot be written or another build holds it."""
    with ExitStack() as held:
        try:
            held.enter_context(alone_in(out))
        except OSError as error:
            raise _cannot_write(out, error) from None
        yield


def _cannot_write(out: str, error: OSError) -> ConfigError:
    return ConfigError(f"--out {out}: cannot be written ({error.strerror or error}); choose another folder")


def _run_passes(run: Run, wanted: Sequence[Pass]) -> None:
    facts: BatchedFacts | None = None
    decisions: Decisions | None = None
    for name in wanted:
        if name in _STORING:
            _STORING[name](run)
        elif name == "score":
            facts = score(run)
        elif name == "decide" and facts is not None:
            decisions = decide(facts, run.recipe.steps)
            write_decisions(decisions, run.items, run.layout)
            write_indices(run, facts, decisions)
            warn_of_greedy_steps(decisions)
            warn_of_nothing(decisions)
        elif facts is not None and decisions is not None:
            pack(run, facts, decisions)
        _anything_left(run)
    if facts is not None and decisions is not None:
        write_funnel(run, facts, decisions)
        run.is_decided = True


def warn_of_greedy_steps(decisions: Decisions) -> None:
    """Say which rule drops nearly everything: more often a wrong threshold than a bad dump."""
    for line in decisions.funnel:
        if line.came_in >= GREEDY_FROM and line.dropped > GREEDY_SHARE * line.came_in:
            found = f"step '{line.step}' drops {line.dropped} of {line.came_in} {line.level}s as {line.reason}"
            log.warning("%s (%s, threshold %s): is that meant?", found, line.measure, line.threshold)


def warn_of_nothing(decisions: Decisions) -> None:
    """Say which rule took most documents where none is left."""
    lines = [line for line in decisions.funnel if line.level == "document" and line.dropped]
    if lines and not decisions.documents.kept.any():
        most = max(lines, key=lambda line: line.dropped)
        found = f"most of {len(decisions.documents.line)}, {most.dropped}, fell to step '{most.step}' as {most.reason}"
        log.warning("no document is kept: %s (%s, threshold %s)", found, most.measure, most.threshold)


def prepare(run: Run) -> None:
    """Clear what a killed run left half-written, and write the resolved recipe."""
    text = yaml.safe_dump(plain(run.recipe.resolved()), sort_keys=False, allow_unicode=True)
    try:
        left = remove_leftovers(run.layout.out)
        write_bytes(run.layout.recipe, f"# resolved from {run.recipe.path}\n{text}".encode())
    except OSError as error:
        raise _cannot_write(run.layout.out, error) from None
    run.recipe = honouring_takedowns(run.recipe, run.layout)
    if left:
        log.info("removed=%d files that an interrupted run left unfinished", left)


def _anything_left(run: Run) -> None:
    if not run.items:
        last = next((report.failures[-1] for report in reversed(run.reports) if report.failures), None)
        found = f"every work item failed, the last {last.name}: {last.problem}" if last else "the source is empty"
        raise InfiMMError(f"{run.recipe.path}: {found}")
