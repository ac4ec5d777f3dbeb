"""Embeddings of images that a scoring step stored on the way: read back as they were written, one work item at a time.

Below OUT they are ordinary Parquet, scores/NAME/ITEM.parquet, with `id` (of the document), `node` (of the image, its
position in the document's nodes) and `embedding` (fixed-size list of float16, a unit vector, null where the image
could not be decoded): Arrow, DuckDB and Polars read them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimm_data.errors import ConfigError
from infimm_data.files import exists, file_system
from pipelines.layout import Layout

ROWS_AT_ONCE = 16_384  # 25 MB of 768 numbers each


@dataclass(frozen=True)
class Embeddings:
    """documents: ids; nodes: positions of the images in them; vectors: [N, D] float16, each of length 1."""

    documents: pa.ChunkedArray
    nodes: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]


def read_embeddings(layout: Layout, name: str, item: str, *, column: str = "embedding") -> Iterator[Embeddings]:
    """Yield the stored vectors of one work item (its key) in bounded memory, in the order in which they were scored.

    name: of the step that stored them, "clip_score" for one; column: `embedding`, or `text_embedding`. Images that
    could not be decoded are left out. Raises ConfigError where the step stored none.
    """
    return read_vectors(layout.pair_scores(name, item), column=column)


def read_vectors(path: str, *, column: str = "embedding") -> Iterator[Embeddings]:
    """Yield the vectors in one file of scores, as `read_embeddings` does."""
    if not exists(path):
        raise ConfigError(f"{path}: not there; its step has not scored this work item")
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        parquet = pq.ParquetFile(file)
        if column not in parquet.schema_arrow.names:
            if parquet.metadata.num_rows:
                raise ConfigError(f"{path}: it has no column '{column}'; set embeddings: image in its step")
            return
        if pa.types.is_null(parquet.schema_arrow.field(column).type):  # no image of this item could be decoded
            return
        for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=["id", "node", column]):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_valid(table.column(column)))
            if table.num_rows:
                vectors = table.column(column).combine_chunks()
                flat = vectors.flatten().to_numpy(zero_copy_only=False)
                matrix = flat.astype(np.float16, copy=False).reshape(-1, vectors.type.list_size)
                yield Embeddings(table.column("id"), table.column("node").to_numpy(), matrix)
