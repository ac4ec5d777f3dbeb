"""Columns of tables of measures as numpy arrays, and tables with more columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.errors import ConfigError, did_you_mean

NOTHING = ""
"""A column of nulls that stands in for the keys where these are not loaded."""


def with_columns(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """Return a table with more columns; one of a name that is there takes its place."""
    for name, values in columns.items():
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        here = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, array) if here is None else table.set_column(here, name, array)
    return table


def lacking(table: pa.Table, measure: str) -> frozenset[str]:
    """Return the name of a measure where some row has none."""
    has_nulls = measure in table.column_names and table.column(measure).null_count > 0
    return frozenset({measure} if has_nulls else ())


def column_of(
    table: pa.Table,
    measure: str,
    is_optional: bool,
    nullable: frozenset[str],
    stored: Callable[[], Sequence[str]] = tuple,
) -> npt.NDArray[Any]:
    """Return a measure as float64 with NaN, as whole numbers, or as objects with None.

    is_optional: what is not there is None of every row, else ConfigError. nullable: measures whose whole numbers come
    as float64, since rows elsewhere lack them. stored: gives the names of all columns, for the error to name them,
    where `table` has those alone that were asked for.
    """
    if measure not in table.column_names and (is_optional or not table.num_rows):
        return np.full(table.num_rows, None, dtype=object)
    if measure not in table.column_names:
        names = dict.fromkeys([*table.column_names, *stored()])
        known = [name for name in names if name not in ("id", "node", "url", NOTHING)]
        raise ConfigError(
            f"measure '{measure}': neither the dump nor a step has it.{did_you_mean(measure, known)} "
            f"There are: {', '.join(known)}. Name one of these in the recipe."
        )
    column = table.column(measure)
    is_whole = pa.types.is_integer(column.type) and column.null_count == 0 and measure not in nullable
    if pa.types.is_floating(column.type) or is_whole:
        return np.asarray(column.to_numpy())
    if pa.types.is_integer(column.type):
        return np.asarray(pc.cast(column, pa.float64()).to_numpy())
    if not pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    slugs = encoded(column)  # few different ones: each becomes one Python text that all its rows share
    texts = np.array([*slugs.dictionary.to_pylist(), None], dtype=object)
    shared: npt.NDArray[Any] = texts[pc.fill_null(slugs.indices, len(texts) - 1).to_numpy(zero_copy_only=False)]
    return shared


def encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of texts as numbers into a dictionary of its distinct texts."""
    return pc.dictionary_encode(pc.cast(column, pa.string())).unify_dictionaries().combine_chunks()
