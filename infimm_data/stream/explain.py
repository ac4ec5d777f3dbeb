"""What a row is made of: its documents with shard and offset, its images, and what each token sees.

Rows are found again, not remembered: from the nearest known position before it, windows are planned up to the row.
Cost: a window of 256 documents takes some tenths of a second; the positions of a run's checkpoints shorten the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from infimm_data.document import ImageNode
from infimm_data.errors import ConfigError
from infimm_data.stream.batch import Batch, Row, collate
from infimm_data.stream.failures import Reading
from infimm_data.stream.piece import Piece
from infimm_data.stream.reader import PlannedRow, Position, Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPart:
    """A document of a row. tokens: (first, stop) in the row; part: the same in the document as written, of `total`.

    shard, offset, size: where its sample lies, bytes; dataset: "" where there is one alone.
    """

    key: str
    dataset: str
    shard: str
    offset: int
    size: int
    url: str
    tokens: tuple[int, int]
    part: tuple[int, int]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """An image of a row. document: its number in the row; seen_by: runs (first, stop) of tokens that look at it."""

    document: int
    file: str
    sha256: str
    url: str
    seen_by: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A row and what it is made of. position: of the row; batch: the row alone; skipped: images that are broken."""

    position: Position
    batch: Batch
    pixels: Row
    documents: tuple[DocumentPart, ...]
    images: tuple[ShownImage, ...]
    skipped: tuple[Reading, ...]


def find_row(reader: Reader, number: int, known: Iterable[Position] = ()) -> tuple[PlannedRow, Position]:
    """Return the row `number` of the sequence (from 0) and its position; raises ConfigError when it ends before.

    known: positions to start from; the nearest one before the row is taken.
    """
    start = max((one for one in (reader.start, *known) if one.rows <= number), key=lambda one: one.rows)
    at = start
    for window in reader.windows(start):
        first = window.start.rows - window.start.row  # of the window
        if number < first + len(window.rows):
            row = number - first
            return window.rows[row], Position(window.start.window, row, window.start.cursors, number)
        at = window.after
    raise ConfigError(f"{reader.shards}: row {number}: the stream ends after {at.rows} rows (its epochs are limited)")


def explain(reader: Reader, planned: PlannedRow, position: Position) -> Explained:
    """Build a row and say what it is made of."""
    row, readings = reader.build(planned)
    documents = tuple(_part(reader, piece, number, row) for number, piece in enumerate(planned))
    images = tuple(_image(planned, row, number) for number in range(len(row.images)))
    return Explained(
        position=position, batch=collate([row], image_side=reader.image_side), pixels=row, documents=documents,
        images=images, skipped=tuple(reading for reading in readings if reading.reason is not None),
    )  # fmt: skip


def runs_of(numbers: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[tuple[int, int], ...]:
    """Return the runs (first, stop) in which a mask is true."""
    edges = np.flatnonzero(np.diff(numbers, prepend=False, append=False)).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _part(reader: Reader, piece: Piece, number: int, row: Row) -> DocumentPart:
    document, place = piece.sample.document, piece.sample.place
    inside = np.flatnonzero(row.document_ids == number)
    slots = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
    assert place is not None  # the reader read it
    return DocumentPart(
        key=document.id, dataset=reader.datasets[piece.source].name, shard=place.shard, offset=place.offset,
        size=place.size, url=document.origin.url, tokens=slots,
        part=(piece.start, piece.start + len(piece.tokens)), total=piece.total,
    )  # fmt: skip


def _image(planned: PlannedRow, row: Row, number: int) -> ShownImage:
    document, image = row.shown[number]
    nodes = [node for node in planned[document].sample.document.nodes if isinstance(node, ImageNode)]
    node = nodes[image]
    return ShownImage(
        document=document, file=node.file or "", sha256=node.sha256 or "", url=node.url,
        seen_by=runs_of(row.image_index == number),
    )  # fmt: skip
