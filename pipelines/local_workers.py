"""Workers of this machine without Ray: processes forked from this one, there in milliseconds where Ray takes seconds.

They answer as those on Ray do (`pipelines.workers`): one that is lost fails its call, and another takes its place. What
Ray has and these have not: other machines, GPUs, and a watch over memory before the kernel has to kill.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import pyarrow as pa

from pipelines.workers import Failure, Holder, Model, attempt

_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process, and our end of the pipe to it."""

    process: BaseProcess
    calls: Connection


class LocalWorkers:
    """Forked processes, one call each at a time; with a model, each loads it before its first call.

    A process without a model outlives its pass, with all that it has imported; `close` ends it.
    """

    def __init__(self, size: int, model: Model | None = None) -> None:
        """size: processes, 1 or more; each starts with its first call."""
        self._size, self._model = size, model
        self._free: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def has_room(self) -> bool:
        """Return whether another call may be given now."""
        return len(self._busy) < self._size

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Give a call to a free process."""
        worker = self._free.pop() if self._free else self._start()
        self._busy[worker.calls] = worker
        with contextlib.suppress(BrokenPipeError):  # it died while it was idle; `wait` says so
            worker.calls.send((function, arguments))
        return worker.calls

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait for one call or more."""
        ended: list[tuple[Any, Any]] = []
        for calls in wait(list(self._busy)):
            assert isinstance(calls, Connection)
            worker = self._busy.pop(calls)
            try:
                ended.append((calls, calls.recv()))
                self._free.append(worker)
            except (EOFError, ConnectionResetError):
                ended.append((calls, _lost(worker)))
        return ended

    def stop(self) -> None:
        """End what is under way, and all that hold a model."""
        _end([*self._busy.values()])
        self._busy.clear()
        if self._model is not None:
            self.close()

    def close(self) -> None:
        """End all processes."""
        _end([*self._busy.values(), *self._free])
        self._busy.clear()
        self._free.clear()

    def _start(self) -> _Worker:
        # Forked: a fresh interpreter would import for a second what is here already. No threads of ours run in this
        # process; Arrow's and OpenBLAS's get along with a fork.
        pa.array([])  # at its first array Arrow imports pandas where that is installed: once for all, not in each
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._model, os.getpid()))
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Worker(process, ours)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join()
        worker.calls.close()


def _lost(worker: _Worker) -> Failure:
    worker.process.join()
    worker.calls.close()
    code = worker.process.exitcode or 0
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"it left with exit status {code}"
    return Failure("", f"worker lost: {how}", "", is_lost=True)


def _serve(calls: Connection, model: Model | None, driver: int) -> None:
    """Answer calls until the driver ends: also where it is killed and can end nobody."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:  # it was gone before we asked
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends us
    with open(os.devnull, "w") as nowhere:  # as on Ray: what libraries print would run into the progress line
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    call = attempt if model is None else Holder(model).call
    while True:
        function, arguments = calls.recv()
        calls.send(call(function, arguments))
