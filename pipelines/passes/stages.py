"""Runs the stages of a comparison over the whole set on the cluster of a run; one that fails ends the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from infimm_data.errors import InfiMMError
from pipelines.dedup.components import Stage
from pipelines.executor import Task
from pipelines.run import Run


def stages_on(run: Run, name: str) -> Stage:
    """Return what runs the stages of a step: a task for each list of arguments, results in their order.

    It raises InfiMMError when a task fails for good: groups of a part of the set would be wrong ones. The report of a
    stage with failures joins those of the run.
    """

    def stage(kind: str, function: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
        tasks = [Task(f"{name} {kind} {number}", arguments) for number, arguments in enumerate(given)]
        report = run.cluster.run(f"{name}: {kind}", function, tasks)
        for failure in report.failures:
            run.reports.append(report)
            raise InfiMMError(f"dedup: {failure.name}: {failure.problem}")
        return report.results

    return stage
