"""Work ahead in a background thread; its exceptions reach the consumer, and it stops cleanly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_SECONDS_BETWEEN_LOOKS = 0.1  # how often a producer that waits for room looks whether it is to stop


class Prefetched(Generic[T]):
    """Iterates `items` in a thread, at most `depth` (>= 1) of them ahead of the consumer.

    An exception of `items` is raised to the consumer in its place, after what came before it. `close` stops the
    thread after the item it is at and waits for it; leaving the block of a `with` closes, too.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        """Start the thread."""
        self._items = items
        self._ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=depth)
        self._is_stopped = threading.Event()
        self._is_finished = False
        self._thread = threading.Thread(target=self._produce, name="infimm-prefetch", daemon=True)
        self._thread.start()

    def _produce(self) -> None:
        try:
            for item in self._items:
                if not self._put((item, None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001 -- carried to the consumer's thread, never swallowed
            self._put((None, error))
        finally:
            if isinstance(self._items, Generator):
                self._items.close()  # what it works with (threads of its own) ends here, not when it is collected

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        while not self._is_stopped.is_set():
            try:
                self._ready.put(entry, timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Prefetched[T]:
        return self

    def __next__(self) -> T:
        if self._is_finished or self._is_stopped.is_set():
            raise StopIteration
        item, error = self._ready.get()
        if error is not None:
            self._is_finished = True
            raise error
        return item  # type: ignore[return-value]  # None only beside an error

    def close(self) -> None:
        """Stop the thread and wait for it; safe to call twice."""
        self._is_stopped.set()
        self._thread.join()

    def __enter__(self) -> Prefetched[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
