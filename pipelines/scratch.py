"""Room for what a decision holds per document: in memory up to a limit, beyond it in files that nobody else sees.

A file is mapped, so that the system keeps in memory what is asked and the rest on disk, in the folder for temporary
files (TMPDIR). It has no name any more when it is used: also of a process that is killed nothing is left.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Scratch:
    """Gives arrays, and tables that lie on disk."""

    def __init__(self, memory: int) -> None:
        """memory: bytes that all arrays that are held at one time may take before further ones become files."""
        self._left = memory

    def full(self, size: int, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of one value."""
        kind = np.dtype(dtype)
        wanted = size * kind.itemsize
        if wanted <= self._left or not size:
            self._left -= wanted
            found = np.full(size, value, dtype=kind)
            weakref.finalize(found, self._give_back, wanted)
            return found
        with tempfile.TemporaryFile(prefix="infimm-") as file:
            mapped = np.memmap(file, dtype=kind, mode="w+", shape=(size,))
        mapped[:] = value
        return mapped

    def empty(self, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array whose values are still to be set."""
        return self.full(size, 0, dtype)

    def _give_back(self, size_bytes: int) -> None:
        self._left += size_bytes


def on_disk(table: pa.Table) -> pa.Table:
    """Return a table whose columns lie on disk; what is not asked is not read."""
    handle, path = tempfile.mkstemp(prefix="infimm-")
    try:
        with os.fdopen(handle, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    finally:
        os.unlink(path)
