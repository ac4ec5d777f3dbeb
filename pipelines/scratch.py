"""Room for what a decision holds per document: in memory up to a limit, beyond it in files that are removed at the end.

A file is mapped, so that the system keeps in memory what is asked and writes the rest to the disk.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Scratch:
    """Gives arrays and paths of files; both live as long as it is held, and no longer."""

    def __init__(self, memory: int) -> None:
        """memory: bytes that all arrays together may take before further ones become files."""
        self._left = memory
        self._folder: str | None = None
        self._count = 0

    def full(self, size: int, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of one value."""
        kind = np.dtype(dtype)
        wanted = size * kind.itemsize
        if wanted <= self._left:
            self._left -= wanted
            return np.full(size, value, dtype=kind)
        found = np.memmap(self.path(), dtype=kind, mode="w+", shape=(size,))
        found[:] = value
        return found

    def path(self) -> str:
        """Return where a file may be written."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="infimm-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._count += 1
        return str(Path(self._folder) / f"{self._count:06d}")
