"""The rows of one part of a table file, whatever its format: (offset, values by column), or why a row is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from infimm_data.errors import SourceError
from infimm_data.files import file_system
from pipelines.dump_tables.parquet_rows import ParquetRows
from pipelines.dump_tables.parts import file_name, is_parquet
from pipelines.dump_tables.text_rows import TextRows
from pipelines.sources.contract import Skipped, WorkItem

Row = tuple[int, Mapping[str, Any]]
"""Offset (row of a Parquet file, byte of a text file once decompressed) and the values of the wanted columns."""


class Rows(Protocol):
    """An open part. columns: of the file in its order; () where each row names its own (JSON lines)."""

    columns: tuple[str, ...]

    def read(self, wanted: frozenset[str]) -> Iterator[Row | Skipped]:
        """Yield the rows of the part in order, each with those of the wanted columns that it has."""
        ...


@contextmanager
def open_rows(item: WorkItem, header: tuple[str, ...] | None, known: frozenset[str]) -> Iterator[Rows]:
    """Open a part of a table file.

    header: the columns of a CSV or TSV file whose first line does not name them; known: column names by which a
    first line is recognised as a header. Raises SourceError when the file is not there or no table.
    """
    fs, inside = file_system(item.path)
    name = file_name(item)
    try:
        with fs.open(inside, "rb") as file:
            if is_parquet(item.path):
                yield ParquetRows(file, name, item.span)
            else:
                yield TextRows(file, name, item.span, header=header, known=known)
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error}); expected a table file. Check path and access.") from None
