"""One build under way: what is asked, where it goes, which work items take part, and what happened so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from infimm_data.shards import ShardInfo
from pipelines.executor import Cluster, PassReport, Task
from pipelines.http_session import ConnectTo
from pipelines.layout import Layout
from pipelines.rates import Counted
from pipelines.recipe import Recipe
from pipelines.sources.contract import WorkItem
from pipelines.workers import Model


@dataclass
class Run:
    """The state that the passes share.

    items: work items still taking part (one that fails leaves, named in its pass's report); connect_to: where
    to reach hosts that are not where their name says; prints: fingerprint of the documents of each work item by its
    key, on which those of all later passes are built; is_decided: this run has written a funnel; shards: the result,
    once packed. retry_failed: ask again for the images whose fetch failed in a way that may pass.
    """

    recipe: Recipe
    layout: Layout
    cluster: Cluster
    connect_to: ConnectTo = field(default_factory=dict)
    items: list[WorkItem] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)
    reports: list[PassReport] = field(default_factory=list)
    is_decided: bool = False
    shards: list[ShardInfo] | None = None
    retry_failed: bool = False

    @property
    def failed(self) -> bool:
        """Whether anything failed in any pass."""
        return any(report.failures for report in self.reports)

    @property
    def keys(self) -> list[str]:
        """The work items still taking part, by key, in dump order."""
        return [item.key for item in self.items]

    def go(
        self, name: str, function: Callable[..., Any], todo: Sequence[tuple[WorkItem, tuple[Any, ...]]],
        model: Model | None = None, *, counted: Counted | None = None,
    ) -> PassReport:  # fmt: skip
        """Run one pass over (work item, arguments) pairs; items that fail leave the run.

        counted: what a result says of drops, for the progress line.
        """
        tasks = [Task(item.name, given) for item, given in todo]
        report = self.cluster.run(name, function, tasks, model, counted=counted)
        self.reports.append(report)
        failed = {failure.name for failure in report.failures}
        self.items = [item for item in self.items if item.name not in failed]
        return report
