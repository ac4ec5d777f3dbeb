"""Rows that packing leaves too empty are filled: documents are cut where they end a sentence, and none is lost.

Where most documents are a little longer than half a row, no packing can fill the rows: at 792 tokens and lengths like
those of OBELICS with a small spread, a twelfth stays empty. Cutting more documents costs their second part the sight
of the first, so it is done only as far as `min_fill` asks.
"""

from __future__ import annotations

import numpy as np

from infimm_data.stream.piece import Piece
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import AT_SENTENCE, AT_WORD

_SMALLEST = 16
"""Tokens of a part: shorter ones would teach little, and the first token of a part is never predicted."""


def fill_up(rows: list[list[Piece]], settings: StreamSettings) -> list[list[Piece]]:
    """Return rows of the same tokens with a fill of at least `min_fill`, where cuts can reach it.

    The emptiest row is given away, its pieces cut to what fits elsewhere, until the rest are full enough. What finds
    no place stays a row.
    """
    rows, kept = [list(row) for row in rows], list[list[Piece]]()
    while rows and _fill(rows + kept, settings.row_tokens) < settings.min_fill:
        emptiest = min(range(len(rows)), key=lambda i: (_length(rows[i]), i))
        given = rows.pop(emptiest)
        left = [rest for piece in given for rest in _give_away(piece, rows, settings)]
        if left:
            kept.append(left)
    return rows + kept


def _fill(rows: list[list[Piece]], capacity: int) -> float:
    return sum(map(_length, rows)) / (capacity * len(rows))


def _length(row: list[Piece]) -> int:
    return sum(len(piece.tokens) for piece in row)


def _give_away(piece: Piece, rows: list[list[Piece]], settings: StreamSettings) -> list[Piece]:
    """Put a piece into the gaps of rows, the widest first, cut where it must be; return what is left of it."""
    for row in sorted(range(len(rows)), key=lambda i: (_length(rows[i]), i)):
        gap = settings.row_tokens - _length(rows[row])
        if settings.max_images and sum(one.num_images for one in (*rows[row], piece)) > settings.max_images:
            continue
        if len(piece.tokens) <= gap:
            rows[row].append(piece)
            return []
        if gap < 2 * _SMALLEST:
            break
        length = _place_of_cut(piece, gap)
        if length is not None:
            first, piece = piece.cut(length)
            rows[row].append(first)
    return [piece]


def _place_of_cut(piece: Piece, gap: int) -> int | None:
    """Return how many tokens of a piece to put into a gap: up to the last sentence that fits, or the last word."""
    stop = min(gap, len(piece.tokens) - _SMALLEST)
    if piece.is_whole or stop < _SMALLEST:
        return None
    for quality in (AT_SENTENCE, AT_WORD):
        places = np.flatnonzero(piece.tokens.cuts[_SMALLEST : stop + 1] >= quality)
        if len(places) and _SMALLEST + int(places[-1]) >= gap // 2:
            return _SMALLEST + int(places[-1])
    return None
