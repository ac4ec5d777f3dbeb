"""A cluster that runs every task in this process, one after the other: what a pass does needs no Ray to be shown."""

from __future__ import annotations

from pipelines.executor import PassReport
from pipelines.layout import Layout
from pipelines.recipe import DedupSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.contract import WorkItem
from pipelines.workers import Failure, attempt


class Here:
    """num_cpus: what the work is cut for."""

    num_gpus = 0

    def __init__(self, num_cpus=2):
        self.num_cpus = num_cpus
        self.names = []

    def run(self, name, function, tasks, model=None, *, counted=None):
        self.names.append(name)
        loaded = () if model is None else (model.load(*model.arguments),)
        report = PassReport(name, [attempt(function, (*loaded, *task.arguments)) for task in tasks])
        for number, (task, result) in enumerate(zip(tasks, report.results, strict=True)):
            if isinstance(result, Failure):
                report.failures.append(Failure(task.name, result.problem, result.trace))
                report.results[number] = None
        return report


def item(number):
    """Return the work item that `make_run` gives this number."""
    return WorkItem(index=number, name=f"item{number}", path="", size_bytes=0)


def make_run(out, steps, items=(0,), source=None, cluster=None, **dedup):
    """Return a run over work items whose files lie in `out`; steps: filters by their config name."""
    made = tuple(Step(name, filter_) for name, filter_ in steps.items())
    recipe = Recipe("recipe.yaml", "made", source, made, None, None, DedupSettings(**dedup))
    run = Run(recipe, Layout(str(out)), cluster or Here())
    run.items = [item(number) for number in items]
    run.prints = {one.key: f"print{one.index}" for one in run.items}
    return run
