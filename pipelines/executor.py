"""Runs a pass on Ray: one task per work item, retried, its failures named, its progress shown.

The function of a task must be importable by name and get plain data or frozen dataclasses; it writes its own
output file whole, so a task that dies leaves no trace and can run again anywhere.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.progress import Track

log = logging.getLogger(__name__)

ATTEMPTS = 2  # a work item that fails twice is named and left
WORKER_LOSSES = 1  # per attempt: Ray itself runs the task again when its worker was killed (preempted, out of memory)
MAX_FAILED_IN_ROW = 10  # as many one after the other is no bad item but a bad dump or bad code: stop (Energon's rule)
TASKS_PER_CPU = 2  # under way or queued: enough that no core waits, few enough that arguments stay in memory


@dataclass(frozen=True)
class Task:
    """One call: `function(*arguments)`; name: the work item, for messages."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """A work item that failed on every attempt; is_fatal: so would every other one (the model does not load)."""

    name: str
    problem: str
    trace: str
    is_fatal: bool = False


@dataclass
class PassReport:
    """What one pass did: results by task position (None where it failed), failures, seconds."""

    name: str
    results: list[Any]
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Model:
    """A pass whose workers hold a loaded model: `load(*arguments)` runs once per worker.

    The pass's function gets what it returned as its first argument. num_gpus: of one worker.
    """

    load: Callable[..., Any]
    arguments: tuple[Any, ...]
    num_gpus: float = 0.0


class Cluster:
    """Ray, embedded on this machine by default, or a running cluster by address.

    The embedded one starts with the first task: a build with nothing left to do costs no start-up.
    """

    def __init__(self, *, address: str | None = None, workers: int | None = None) -> None:
        """address: of a running Ray cluster ("auto" or ray://...), None starts one here; workers: logical CPUs of it.

        Raises ConfigError when the cluster does not answer or `workers` is given for a running one.
        """
        if address and workers:
            raise ConfigError("--workers: the cluster at --ray has its own size; leave one of the two flags out")
        self._address, self._workers = address, workers
        self._resources: dict[str, float] | None = None
        self._owned = False
        if address:
            self._started()

    def _started(self) -> dict[str, float]:
        """Start or join Ray if that is not done; return its resources."""
        import ray

        if self._resources is None:
            self._owned = not ray.is_initialized()
            if self._owned:
                _start_ray(self._address, self._workers)
            self._resources = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray has no types here
        return self._resources

    @property
    def num_cpus(self) -> int:
        """Logical CPUs, at least 1."""
        return max(1, int(self._started().get("CPU", 1)))

    @property
    def num_gpus(self) -> int:
        """GPUs of the whole cluster."""
        return int(self._started().get("GPU", 0))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        if self._owned:
            import ray

            ray.shutdown()

    def run(
        self, name: str, function: Callable[..., Any], tasks: Sequence[Task], model: Model | None = None
    ) -> PassReport:
        """Run all tasks; return their results in the order of `tasks`, whatever order they finished in.

        Raises InfiMMError when MAX_FAILED_IN_ROW tasks fail one after the other, ConfigError when the model does
        not load.
        """
        report = PassReport(name, results=[None] * len(tasks))
        start = time.monotonic()
        if tasks:
            call = _with_model(model, self, len(tasks)) if model else _without_model()
            with Track(name, len(tasks), unit="items") as track:
                _run_all(call, function, tasks, report, track, limit=TASKS_PER_CPU * self.num_cpus)
        place = {task.name: position for position, task in enumerate(tasks)}
        report.failures.sort(key=lambda failure: place[failure.name])  # not in the order in which they happened
        report.seconds = time.monotonic() - start
        return report


def _start_ray(address: str | None, workers: int | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray warns at every start that a future version will hide GPUs from tasks that ask for none: as we want it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here = {"address": "local", "include_dashboard": False, "num_cpus": workers or os.cpu_count()}
    options: dict[str, Any] = {"address": address} if address else here
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        problem = str(error).strip().splitlines()[0]
        where = f"--ray {address}: no Ray cluster answers there" if address else "Ray does not start here"
        raise ConfigError(f"{where} ({problem})") from None


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call on the worker; an exception comes back as data, with its trace.

    The one broad except of the project: whatever one work item does must not stop its neighbours.
    """
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001
        problem = str(error) if isinstance(error, InfiMMError) else f"{type(error).__name__}: {error}"
        return Failure("", problem, traceback.format_exc())


Call = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


def _without_model() -> Call:
    import ray

    remote = ray.remote(num_cpus=1, max_retries=WORKER_LOSSES)(_attempt)
    return lambda function, arguments: remote.remote(function, arguments)


class _Worker:
    """An actor that holds a loaded model; one that did not load answers every call with the reason."""

    def __init__(self, model: Model) -> None:
        self._loaded = _attempt(model.load, model.arguments)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if isinstance(self._loaded, Failure):
            return replace(self._loaded, is_fatal=True)
        return _attempt(function, (self._loaded, *arguments))


def _with_model(model: Model, cluster: Cluster, num_tasks: int) -> Call:
    """Start the actors: one per GPU share, or one per CPU; tasks go to them in turn."""
    import ray

    slots = int(cluster.num_gpus / model.num_gpus) if model.num_gpus else cluster.num_cpus
    size = max(1, min(num_tasks, slots))
    # Half a CPU each: an actor that held a whole one would starve other tasks of a small Ray for ever.
    actor = ray.remote(num_cpus=0.5, num_gpus=model.num_gpus, max_restarts=-1, max_task_retries=WORKER_LOSSES)(_Worker)
    actors: list[Any] = [actor.remote(model) for _ in range(size)]
    turn = itertools.cycle(actors)
    return lambda function, arguments: next(turn).call.remote(function, arguments)


def _run_all(
    call: Call, function: Callable[..., Any], tasks: Sequence[Task], report: PassReport, track: Track, *, limit: int
) -> None:
    """Keep `limit` tasks under way until none is left; whatever ends it early cancels those under way."""
    import ray

    waiting = [(position, 1) for position in reversed(range(len(tasks)))]
    running: dict[Any, tuple[int, int]] = {}
    failed_in_row = 0
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                position, attempt = waiting.pop()
                running[call(function, tasks[position].arguments)] = (position, attempt)
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                position, attempt = running.pop(reference)
                result = _result(reference)
                if isinstance(result, Failure) and attempt < ATTEMPTS and not result.is_fatal:
                    waiting.append((position, attempt + 1))
                    continue
                failed_in_row = failed_in_row + 1 if isinstance(result, Failure) else 0
                _keep(result, position, tasks, report)
                track.advance(note=f"{len(report.failures)} failed" if report.failures else "")
                _stop_when_hopeless(result, failed_in_row, report)
    finally:
        for reference in running:
            ray.cancel(reference)


def _stop_when_hopeless(result: Any, failed_in_row: int, report: PassReport) -> None:
    if isinstance(result, Failure) and result.is_fatal:
        raise ConfigError(f"{report.name}: the model does not load: {result.problem}")
    if failed_in_row >= MAX_FAILED_IN_ROW:
        last = report.failures[-1]
        raise InfiMMError(
            f"{report.name}: {failed_in_row} work items failed one after the other, the last {last.name}: "
            f"{last.problem}; fix the dump or the recipe and run again"
        )


def _result(reference: Any) -> Any:
    """Return what the worker returned; a worker that Ray gave up on (killed, out of memory) is a failure too."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Failure("", f"worker lost: {lines[0]}", str(error))


def _keep(result: Any, position: int, tasks: Sequence[Task], report: PassReport) -> None:
    if isinstance(result, Failure):
        failure = Failure(tasks[position].name, result.problem, result.trace)
        log.warning("pass=%s item=%s failed: %s", report.name, failure.name, failure.problem)
        report.failures.append(failure)
    else:
        report.results[position] = result
