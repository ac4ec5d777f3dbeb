"""Reads the tables below groups/, which hold all work items one after the other, one work item at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimm_data.files import file_system


class GroupTable:
    """A table whose rows of one work item stand together, named in its column `item`.

    starts: the row of the table at which each work item begins.
    """

    def __init__(self, path: str) -> None:
        """Find where the work items lie; raises FileNotFoundError."""
        self.path = path
        self.starts: dict[str, int] = {}
        self._places: dict[str, list[tuple[int, int, int]]] = {}  # row group, first row in it, rows
        fs, inside = file_system(path)
        with fs.open(inside, "rb") as file:
            parquet, row = pq.ParquetFile(file), 0
            self._names = parquet.schema_arrow.names
            for group in range(parquet.num_row_groups):
                for item, start, size in _runs(parquet, group):
                    self.starts.setdefault(item, row)
                    self._places.setdefault(item, []).append((group, start, size))
                    row += size

    def column_names(self) -> list[str]:
        """Return the columns that tell something of a row."""
        return [name for name in self._names if name not in ("item", "id", "node")]

    def rows(self, items: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return columns of work items, one after the other; those without a row have none."""
        fs, inside = file_system(self.path)
        with fs.open(inside, "rb") as file:
            parquet = pq.ParquetFile(file)
            found = [parquet.schema_arrow.empty_table().select(list(columns)).replace_schema_metadata(None)]
            for item in items:
                for group, start, size in self._places.get(item, []):
                    table = parquet.read_row_group(group, columns=list(columns)).replace_schema_metadata(None)
                    found.append(table.slice(start, size))
        return pa.concat_tables(found)

    def numbers(self, slugs: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Return groups named "KEY/ROW" by their first document as its row in this table, -1 for null."""
        named = pc.dictionary_encode(slugs).unify_dictionaries().combine_chunks()
        rows = np.full(len(named.dictionary) + 1, -1, dtype=np.int64)
        for at, slug in enumerate(named.dictionary.to_pylist()):
            item, _, row = slug.rpartition("/")
            rows[at] = self.starts[item] + int(row)
        found: npt.NDArray[np.int64] = rows[pc.fill_null(named.indices, -1).to_numpy(zero_copy_only=False)]
        return found


def _runs(parquet: pq.ParquetFile, group: int) -> Iterator[tuple[str, int, int]]:
    """Yield (work item, first row, rows) of a row group, which most often is one work item."""
    names = pc.run_end_encode(parquet.read_row_group(group, columns=["item"]).column("item").combine_chunks())
    start = 0
    for item, end in zip(names.values.to_pylist(), names.run_ends.to_pylist(), strict=True):
        yield item, start, end - start
        start = end
