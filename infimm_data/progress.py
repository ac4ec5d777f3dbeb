"""Progress of long work: a live bar with rate and ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0  # off a terminal: enough to see life, few enough for a log file

Clock = Callable[[], float]


class Track:
    """Counts the parts of one piece of work; use as a context manager and call `advance`.

    name: what is being done; total: parts (work items, steps); unit: their name in the plural, for the rate.
    """

    def __init__(self, name: str, total: int, *, unit: str = "items", clock: Clock = time.monotonic) -> None:
        """Prepare; the bar appears when the block is entered."""
        self.name, self.total, self.unit = name, total, unit
        self._clock = clock
        self._done, self._note = 0, ""
        self._console = Console(stderr=True)
        self._live: Progress | None = None

    def __enter__(self) -> Track:
        self._start = self._last_line = self._clock()
        if self._console.is_terminal:
            self._live = Progress(
                TextColumn("[bold]{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._live.start()
            self._task = self._live.add_task(self.name, total=self.total, note="")
        return self

    def advance(self, parts: int = 1, note: str = "") -> None:
        """Count finished parts; note: what else is worth seeing (a loss, a drop rate)."""
        self._done, self._note = self._done + parts, note
        if self._live is not None:
            self._live.update(self._task, advance=parts, note=f"{self.rate():.3g} {self.unit}/s {note}")
        elif self._clock() - self._last_line >= SECONDS_BETWEEN_LINES and self._done < self.total:
            self._last_line = self._clock()
            self._console.print(self.line(note), highlight=False, markup=False, soft_wrap=True)

    def rate(self) -> float:
        """Parts per second since the block was entered."""
        return self._done / max(self._clock() - self._start, 1e-9)

    def line(self, note: str = "") -> str:
        """Return the state in one plain line: name, parts, rate, ETA in seconds, note."""
        rate = self.rate()
        eta = f"{(self.total - self._done) / rate:.0f} s left" if rate > 0 else "no rate yet"
        return f"{self.name}: {self._done}/{self.total} {self.unit}, {rate:.3g}/s, {eta} {note}".rstrip()

    def __exit__(self, *error: object) -> None:
        seconds = self._clock() - self._start
        if self._live is not None:
            self._live.stop()
        else:
            done = f"{self.name}: {self._done}/{self.total} {self.unit} in {seconds:.1f} s {self._note}".rstrip()
            self._console.print(done, highlight=False, markup=False, soft_wrap=True)
        log.debug("name=%r done=%d total=%d seconds=%.1f", self.name, self._done, self.total, seconds)
