"""How many pixels may be decoded at the same time: threads wait, so that a few posters do not fill the memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PixelBudget:
    """Shared by the threads that decode. One picture may always be decoded, even one above the budget."""

    def __init__(self, pixels: int) -> None:
        """pixels: at most so many at once, over all threads."""
        self._pixels = pixels
        self._held = 0
        self._free = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more are allowed, and hold them while the block lasts."""
        with self._free:
            self._free.wait_for(lambda: not self._held or self._held + pixels <= self._pixels)
            self._held += pixels
        try:
            yield
        finally:
            with self._free:
                self._held -= pixels
                self._free.notify_all()
