"""Runs a pass, on Ray or without: one task per work item, retried, its failures named, its progress shown.

The function of a task must be importable by name and get plain data or frozen dataclasses; it writes its own
output file whole, so a task that dies leaves no trace and can run again anywhere.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.progress import Track
from pipelines.local_workers import LocalWorkers
from pipelines.rates import Counted, Rates
from pipelines.workers import Failure, Model, ModelWorkers, TaskWorkers, Workers

log = logging.getLogger(__name__)

ATTEMPTS = 2  # a work item that fails twice is named and left
MAX_LOSSES = 2  # workers that a task may lose (preempted, out of memory) before it is named: it may be what kills them
MAX_FAILED_IN_ROW = 10  # as many one after the other is no bad item but a bad dump or bad code: stop (Energon's rule)
OFF = "off"  # the address that means no Ray
RAY_FLAG = f"a running Ray cluster; '{OFF}': processes of this machine alone, no GPUs; default: Ray on this machine"
PROBE_S = 5.0  # for the address of a cluster to answer
TASKS_PER_CPU = 2  # under way or queued: enough that no core waits, few enough that arguments stay in memory


@dataclass(frozen=True)
class Task:
    """One call: `function(*arguments)`; name: the work item, for messages."""

    name: str
    arguments: tuple[Any, ...]


@dataclass
class PassReport:
    """What one pass did: results by task position (None where it failed), failures, seconds."""

    name: str
    results: list[Any]
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0


class Cluster:
    """Ray, embedded on this machine by default, or a running cluster by address; or this machine's own processes.

    The embedded one starts with the first task: a build with nothing left to do costs no start-up.
    """

    def __init__(self, *, address: str | None = None, workers: int | None = None) -> None:
        """address: of a running Ray cluster ("auto" or ray://...), None starts one here, "off" does without.

        workers: logical CPUs here, None for those of the machine.

        Raises ConfigError when the cluster does not answer or `workers` is given for a running one.
        """
        if address not in (None, OFF) and workers:
            raise ConfigError("--workers: the cluster at --ray has its own size; leave one of the two flags out")
        self._address, self._workers = address, workers
        self._is_started = False
        self._owned = False
        self._local: LocalWorkers | None = None
        if address not in (None, OFF):
            _probe(address)
            self._started()

    def _started(self) -> dict[str, float]:
        """Start or join Ray if that is not done; return its resources as they are now: nodes come and go."""
        import ray

        if not self._is_started:
            self._owned = not ray.is_initialized()
            if self._owned:
                _start_ray(self._address, self._workers)
            self._is_started = True
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # no types in Ray here
        return resources

    @property
    def num_cpus(self) -> int:
        """Logical CPUs, at least 1."""
        if self._address == OFF:
            return self._workers or os.cpu_count() or 1
        return max(1, int(self._started().get("CPU", 1)))

    @property
    def num_gpus(self) -> int:
        """GPUs of the whole cluster; 0 without Ray, which hands them out."""
        return 0 if self._address == OFF else int(self._started().get("GPU", 0))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        if self._local is not None:
            self._local.close()
        if self._owned:
            import ray

            ray.shutdown()

    def run(
        self, name: str, function: Callable[..., Any], tasks: Sequence[Task], model: Model | None = None,
        *, counted: Counted | None = None,
    ) -> PassReport:  # fmt: skip
        """Run all tasks; return their results in the order of `tasks`, whatever order they finished in.

        counted: what a result says of drops, for the progress line.

        Raises InfiMMError when MAX_FAILED_IN_ROW tasks fail one after the other, ConfigError when the model does
        not load, NoSpaceError when the storage is full.
        """
        report = PassReport(name, results=[None] * len(tasks))
        start = time.monotonic()
        if tasks:
            workers = self._workers_for(model, len(tasks))
            with Track(name, len(tasks), unit="items") as track:
                _run_all(workers, function, tasks, report, _Progress(track, counted))
        place = {task.name: position for position, task in enumerate(tasks)}
        report.failures.sort(key=lambda failure: place[failure.name])  # not in the order in which they happened
        report.seconds = time.monotonic() - start
        return report

    def _workers_for(self, model: Model | None, num_tasks: int) -> Workers:
        """Return who runs a pass: without a model Ray's own workers, else an actor per GPU share, or per CPU."""
        if self._address == OFF and model is not None:
            return LocalWorkers(min(num_tasks, self.num_cpus), model)
        if self._address == OFF:
            self._local = self._local or LocalWorkers(self.num_cpus)
            return self._local
        if model is None:
            return TaskWorkers(TASKS_PER_CPU * self.num_cpus)
        slots = int(self.num_gpus / model.num_gpus) if model.num_gpus else self.num_cpus
        return ModelWorkers(model, max(1, min(num_tasks, slots)))


def _start_ray(address: str | None, workers: int | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray warns at every start that a future version will hide GPUs from tasks that ask for none: as we want it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here = {"address": "local", "include_dashboard": False, "num_cpus": workers or os.cpu_count()}
    options: dict[str, Any] = {"address": address} if address else here
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:  # noqa: BLE001  # Ray raises the class itself where a node does not start in time
        problem = str(error).strip().splitlines()[0]
        where = f"--ray {address}: no Ray cluster answers there" if address else "Ray does not start here"
        raise ConfigError(f"{where} ({problem})") from None


def _probe(address: str) -> None:
    """Raise ConfigError where nothing listens: Ray itself would try for minutes before it says so."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", or a name that Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S).close()
    except OSError as error:
        problem = f"--ray {address}: no Ray cluster answers there ({error.strerror or error})"
        raise ConfigError(f"{problem}; start one with 'ray start --head', or leave the flag out") from None


def _run_all(
    workers: Workers, function: Callable[..., Any], tasks: Sequence[Task], report: PassReport, progress: _Progress
) -> None:
    """Keep the workers busy until no task is left; whatever ends it early cancels those under way."""
    waiting = [_Try(position) for position in reversed(range(len(tasks)))]
    running: dict[Any, _Try] = {}
    failed_in_row = 0
    try:
        while waiting or running:
            while waiting and workers.has_room():
                trying = waiting.pop()
                running[workers.submit(function, tasks[trying.position].arguments)] = trying
            for reference, result in workers.wait():
                trying = running.pop(reference)
                if isinstance(result, Failure) and (again := trying.again(result)):
                    waiting.append(again)
                    continue
                failed_in_row = failed_in_row + 1 if isinstance(result, Failure) else 0
                _keep(result, trying.position, tasks, report)
                progress.advance(result, len(report.failures))
                _stop_when_hopeless(result, failed_in_row, report)
    finally:
        workers.stop()


@dataclass
class _Progress:
    """Shows how far a pass is, and what it drops."""

    track: Track
    counted: Counted | None
    rates: Rates = field(default_factory=Rates)

    def advance(self, result: Any, num_failed: int) -> None:
        """Show one more finished task."""
        if self.counted is not None and not isinstance(result, Failure):
            self.rates.add(self.counted(result))
        notes = (self.rates.line(), f"{num_failed} failed" if num_failed else "")
        self.track.advance(note=", ".join(note for note in notes if note))


@dataclass(frozen=True)
class _Try:
    """One try at a task: its position, which attempt it is, how many workers it has lost before."""

    position: int
    attempt: int = 1
    losses: int = 0

    def again(self, failure: Failure) -> _Try | None:
        """Return the next try after a failure, None where the task is given up."""
        if failure.fatal:
            return None
        if failure.is_lost:
            return replace(self, losses=self.losses + 1) if self.losses < MAX_LOSSES else None
        return replace(self, attempt=self.attempt + 1) if self.attempt < ATTEMPTS else None


def _stop_when_hopeless(result: Any, failed_in_row: int, report: PassReport) -> None:
    if isinstance(result, Failure) and result.fatal:
        raise result.fatal(f"{report.name}: {result.problem}")
    if failed_in_row >= MAX_FAILED_IN_ROW:
        last = report.failures[-1]
        raise InfiMMError(
            f"{report.name}: {failed_in_row} work items failed one after the other, the last {last.name}: "
            f"{last.problem}; fix the dump or the recipe and run again"
        )


def _keep(result: Any, position: int, tasks: Sequence[Task], report: PassReport) -> None:
    if isinstance(result, Failure):
        failure = Failure(tasks[position].name, result.problem, result.trace)
        log.warning("pass=%s item=%s failed: %s", report.name, failure.name, failure.problem)
        report.failures.append(failure)
    else:
        report.results[position] = result
