"""Ctrl-C and SIGTERM: noted when they come, agreed on by all ranks at the end of a step, acted on with a checkpoint.

A signal reaches ranks at different moments, and some of them never. Each says at the end of a step whether it was asked
to stop, in the sum over ranks that the loss needs anyway, so all of them leave after the same step.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator

from model.parallel import World

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_S = 3.0  # Slurm and systemd signal torchrun and its ranks, and torchrun its ranks once more: that is one request

Clock = Callable[[], float]


class Stop:
    """Whether this process was asked to stop, by Ctrl-C or SIGTERM; a second one ends it at once.

    is_agreed: whether all ranks know that one of them was asked, and stop.
    """

    def __init__(self, world: World, also: Callable[[], bool] | None = None, *, clock: Clock = time.monotonic) -> None:
        """also: another way to ask, looked at once a step by the first rank, for workers that no signal reaches."""
        self._world, self._also, self._clock = world, also if world.is_first else None, clock
        self._asked_at: float | None = None
        self.is_agreed = False

    @property
    def is_asked(self) -> bool:
        """Whether this rank was asked."""
        if self._asked_at is None and self._also is not None and self._also():
            self._note()
        return self._asked_at is not None

    def settle(self, num_asked: float) -> None:
        """Take how many ranks were asked, as all of them have summed it up; from 1 on, all stop."""
        self.is_agreed = num_asked > 0
        if self.is_agreed and self._asked_at is None:
            self._note()

    def agree(self) -> None:
        """Sum up and settle, where no other sum is due; every rank calls it."""
        self.settle(self._world.total([self.is_asked])[0])

    def _note(self) -> None:
        self._asked_at = self._clock()
        if self._world.is_first:
            log.warning("stopping after this step, with a checkpoint; once more stops at once")

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator[None]:
        """Within it, signals are noted. Does nothing outside of the main thread, where Python lets nobody note them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        is_alone = self._world.size == 1

        def note(number: int, _: object) -> None:
            if self._asked_at is None:
                self._note()
            elif is_alone or self._clock() - self._asked_at >= SAME_S:
                put_back()
                if not is_alone:  # to unwind could mean to wait for ranks that are gone
                    signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        before = {number: signal.signal(number, note) for number in SIGNALS}

        def put_back() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        try:
            yield
        finally:
            put_back()
