"""Who runs the tasks of a pass: Ray's own workers, or actors that each hold a loaded model; neither waits for the dead.

A call of an actor goes to one that is loaded and free. One that is lost (killed, out of memory, its node gone) fails
its call at once and is replaced where the cluster has room; without room the others do its work. Ray's own restarts
would keep the call waiting for room that a smaller cluster may never have.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from infimm_data.errors import ConfigError, InfiMMError, NoSpaceError

WORKER_LOSSES = 1  # per attempt: Ray itself runs a task again when its worker was killed (preempted, out of memory)
MAX_LOST_LOADING = 3  # actors lost one after the other before any was ready: the model does not fit, or kills them
CPUS_PER_ACTOR = 0.5  # an actor that held a whole one would starve other tasks of a small Ray for ever


@dataclass(frozen=True)
class Failure:
    """A call that failed. fatal: the error that ends the pass, where every other call would fail too (the model does
    not load, the storage is full); is_lost: with its worker.
    """

    name: str
    problem: str
    trace: str
    fatal: type[InfiMMError] | None = None
    is_lost: bool = False


@dataclass(frozen=True)
class Model:
    """A pass whose workers hold a loaded model: `load(*arguments)` runs once per worker.

    The pass's function gets what it returned as its first argument. num_gpus: of one worker.
    """

    load: Callable[..., Any]
    arguments: tuple[Any, ...]
    num_gpus: float = 0.0


class Workers(Protocol):
    """What a pass asks of those who run its tasks."""

    def has_room(self) -> bool:
        """Return whether another call may be given now."""
        ...

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Give a call; return what `wait` will name it by."""
        ...

    def wait(self) -> list[tuple[Any, Any]]:
        """Return the calls that ended, at least one where any is under way, each with its result or Failure.

        A list may be empty when only a worker became ready: there may be room now.
        """
        ...

    def stop(self) -> None:
        """Cancel what is under way."""
        ...


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call on the worker; an exception comes back as data, with its trace.

    The one broad except of the project: whatever one work item does must not stop its neighbours.
    """
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001
        problem = str(error) if isinstance(error, InfiMMError) else f"{type(error).__name__}: {error}"
        fatal = NoSpaceError if isinstance(error, NoSpaceError) else None
        return Failure("", problem, traceback.format_exc(), fatal=fatal)


def _result(reference: Any) -> Any:
    """Return what the worker returned; a worker that Ray gave up on (killed, out of memory) is a failure too."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Failure("", f"worker lost: {lines[0]}", str(error), is_lost=True)


class TaskWorkers:
    """Ray's own workers, one CPU each."""

    def __init__(self, limit: int) -> None:
        """limit: calls under way or queued."""
        import ray

        self._remote = ray.remote(num_cpus=1, max_retries=WORKER_LOSSES)(attempt)
        self._limit = limit
        self._running: list[Any] = []

    def has_room(self) -> bool:
        """Return whether fewer calls than the limit are under way."""
        return len(self._running) < self._limit

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Give a call."""
        self._running.append(self._remote.remote(function, arguments))
        return self._running[-1]

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait for one call or more."""
        import ray

        done, self._running = ray.wait(self._running, num_returns=1)
        return [(reference, _result(reference)) for reference in done]

    def stop(self) -> None:
        """Cancel what is under way."""
        import ray

        for reference in self._running:
            ray.cancel(reference)


class Holder:
    """Holds a loaded model in its worker; one that did not load answers every call with the reason."""

    def __init__(self, model: Model) -> None:
        """Load it."""
        self._loaded = attempt(model.load, model.arguments)

    def is_loaded(self) -> bool:
        """Return whether it did load."""
        return not isinstance(self._loaded, Failure)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call with the model as first argument."""
        if isinstance(self._loaded, Failure):
            problem = f"the model does not load: {self._loaded.problem}"
            return replace(self._loaded, problem=problem, fatal=ConfigError)
        return attempt(function, (self._loaded, *arguments))


class ModelWorkers:
    """Actors with a model: each has one call at a time, given when it is loaded and free."""

    def __init__(self, model: Model, size: int) -> None:
        """size: actors, 1 or more."""
        import ray

        self._model = model
        # Ray does not restart them: see the module's docstring.
        self._actor = ray.remote(num_cpus=CPUS_PER_ACTOR, num_gpus=model.num_gpus, max_restarts=0, max_task_retries=0)(
            Holder
        )
        self._loading: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._busy: dict[Any, Any] = {}
        self._lost_loading = 0
        for _ in range(size):
            self._start()

    def has_room(self) -> bool:
        """Return whether a loaded actor is free."""
        return bool(self._free)

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Give a call to a free actor."""
        actor = self._free.pop()
        reference = actor.call.remote(function, arguments)
        self._busy[reference] = actor
        return reference

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait until a call ends or an actor is ready.

        Raises InfiMMError when MAX_LOST_LOADING actors are lost one after the other while they load.
        """
        import ray

        done, _ = ray.wait([*self._busy, *self._loading], num_returns=1)
        ended = []
        for reference in done:
            result = _result(reference)
            if reference in self._loading:
                self._loaded(self._loading.pop(reference), result)
                continue
            actor = self._busy.pop(reference)
            ended.append((reference, result))
            if isinstance(result, Failure) and result.is_lost:
                self._start()
            else:
                self._free.append(actor)
        return ended

    def stop(self) -> None:
        """End the actors: what is under way is not waited for."""
        import ray

        for actor in (*self._free, *self._busy.values(), *self._loading.values()):
            ray.kill(actor)

    def _start(self) -> None:
        actor: Any = self._actor.remote(self._model)
        self._loading[actor.is_loaded.remote()] = actor

    def _loaded(self, actor: Any, answer: Any) -> None:
        if not isinstance(answer, Failure):
            self._lost_loading = 0
            self._free.append(actor)
            return
        self._lost_loading += 1
        if self._lost_loading >= MAX_LOST_LOADING:
            raise InfiMMError(
                f"{self._lost_loading} workers were lost one after the other while their model was loading "
                f"({answer.problem}); it may need more memory than there is"
            )
        self._start()
