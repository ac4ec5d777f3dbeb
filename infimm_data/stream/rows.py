"""Rows of a window: which pieces share a row, and the row itself with its images decoded.

Packing looks at tokens and at how many images they see; images are decoded when a row is built, by the rank that needs
it. An image that turns out broken then takes its `<image>` token out of the row (padding grows by one), and the tokens
that looked at it look at the image before it: the same on every rank, and again after a resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from infimm_data.document import ImageNode
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.shards import Sample
from infimm_data.stream.batch import Row
from infimm_data.stream.failures import Failures, Reading
from infimm_data.stream.fill import fill_up
from infimm_data.stream.images import Pixels, to_pixels
from infimm_data.stream.pack import even_out, pack
from infimm_data.stream.piece import Piece
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.templates import chat_pieces, conversation_of
from infimm_data.stream.tokens import IGNORED, Ints, Tokens, Vocabulary, pieces, tokenise


def plan_rows(
    samples: Sequence[Sample], vocabulary: Vocabulary, settings: StreamSettings, *, seed: Sequence[int],
    failures: Failures, sources: Sequence[int] | None = None,
) -> list[list[Piece]]:  # fmt: skip
    """Return the rows of one window, as the pieces in each; packed best, then shuffled by `seed`.

    Shuffled, as packing leaves the long documents in the first rows. sources: the dataset of each sample, by number.
    """
    found: list[Piece] = []
    for sample, source in zip(samples, sources or [0] * len(samples), strict=True):
        found += _pieces_of(sample, source, vocabulary, settings, failures)
    rows = _packed(found, settings)
    return [rows[row] for row in np.random.default_rng(list(seed)).permutation(len(rows))]


def _packed(found: list[Piece], settings: StreamSettings) -> list[list[Piece]]:
    """Pack; cut documents where that leaves too much empty; make the rows cost alike."""
    most, capacity = settings.max_images, settings.row_tokens
    lengths, images = [len(piece.tokens) for piece in found], [piece.num_images for piece in found]
    packed = pack(lengths, capacity, images=images, max_images=most)
    rows = fill_up([[found[i] for i in row] for row in packed], settings)
    places = np.cumsum([0, *(len(row) for row in rows)])
    found = [piece for row in rows for piece in row]
    even = even_out(
        [range(start, stop) for start, stop in pairwise(places.tolist())],
        [len(piece.tokens) for piece in found], capacity,
        images=[piece.num_images for piece in found], max_images=most, image_cost=settings.image_cost,
    )  # fmt: skip
    return [[found[i] for i in row] for row in even]


def row_cost(row: Sequence[Piece], settings: StreamSettings) -> float:
    """Return what a row costs to train on, in text tokens."""
    return sum(len(piece.tokens) + settings.image_cost * piece.num_images for piece in row)


def _pieces_of(
    sample: Sample, source: int, vocabulary: Vocabulary, settings: StreamSettings, failures: Failures
) -> list[Piece]:
    document = sample.document
    conversation = None if settings.template == "plain" else conversation_of(document)
    if conversation is None:
        tokens = tokenise(document, vocabulary, loss_before_first_image=settings.loss_before_first_image)
        found = list(pieces(tokens, settings.row_tokens, max_images=settings.max_images)) if len(tokens) else []
    else:
        found, num_too_long = chat_pieces(conversation, vocabulary, settings.template, settings.row_tokens)
        if num_too_long:
            failures.left_out("exchange_too_long", num_too_long, f"document {document.id}")
        if conversation.images and not settings.loss_before_first_image:
            for piece in found:
                piece.labels[piece.image_index < 0] = IGNORED
    starts = np.cumsum([0, *map(len, found)]).tolist()
    return [
        Piece(
            tokens=part, sample=sample, source=source, start=start, total=starts[-1],
            is_whole=conversation is not None,
        )
        for part, start in zip(found, starts, strict=False)
    ]  # fmt: skip


def build_row(
    row: Sequence[Piece], vocabulary: Vocabulary, settings: StreamSettings, *, image_side: int
) -> tuple[Row, list[Reading]]:
    """Return a packed row with its images decoded, and how each image read. image_side: pixels of the tower's input."""
    images: list[Pixels] = []
    places: list[tuple[int, int]] = []
    readings: list[Reading] = []
    columns: list[list[Ints]] = [[], [], [], [], [], []]
    for number, piece in enumerate(row):
        tokens, index, seen = _see(piece, vocabulary, settings, image_side, readings)
        shown = np.where(index >= 0, index + len(images), -1) if settings.images else np.full(len(index), -1)
        labels = tokens.labels.copy()
        labels[:1] = IGNORED  # nothing before it may predict it: not the document before, not the cut-off part
        length = len(index)
        parts = (tokens.ids, labels, np.full(length, number), np.arange(length), shown, np.full(length, piece.source))
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
        if settings.images:
            images += seen.values()
            places += [(number, image) for image in seen]
    fillers = (vocabulary.pad, IGNORED, -1, 0, -1, -1)
    ids, labels, documents, positions, index, sources = (
        _padded(column, settings.row_tokens, filler) for column, filler in zip(columns, fillers, strict=True)
    )
    packed = Row(
        input_ids=ids, labels=labels, document_ids=documents, position_ids=positions, image_index=index,
        sources=sources, images=tuple(images), shown=tuple(places),
    )  # fmt: skip
    return packed, readings


def _padded(parts: Sequence[Ints], length: int, filler: int) -> Ints:
    values = np.concatenate(parts).astype(np.int64)
    return np.concatenate([values, np.full(length - len(values), filler, dtype=np.int64)])


def _see(
    piece: Piece, vocabulary: Vocabulary, settings: StreamSettings, side: int, readings: list[Reading]
) -> tuple[Tokens, Ints, dict[int, Pixels]]:
    """Decode what a piece looks at; return its tokens without broken `<image>`s, their index, and pixels by image.

    The text-only twin decodes as well: which tokens stay must not depend on whether images are shown.
    """
    nodes = [node for node in piece.sample.document.nodes if isinstance(node, ImageNode)]
    decoded: dict[int, Pixels | None] = {}

    def good(number: int) -> int:
        """Return the latest image at or before `number` that decodes, or -1."""
        while number >= 0:
            if number not in decoded:
                decoded[number] = _decode(piece.sample, nodes[number], settings, side, readings)
            if decoded[number] is not None:
                return number
            number -= 1
        return -1

    latest = {number: good(number) for number in piece.tokens.seen}
    shown = sorted({number for number in latest.values() if number >= 0})
    place = {number: i for i, number in enumerate(shown)} | {-1: -1}
    index = np.array([place[latest[int(number)]] for number in piece.tokens.image_index], dtype=np.int64)
    is_own = np.array([latest[int(number)] == number for number in piece.tokens.image_index], dtype=bool)
    stays = (piece.tokens.ids != vocabulary.image) | is_own
    tokens = piece.tokens
    kept = Tokens(tokens.ids[stays], tokens.labels[stays], tokens.image_index[stays], tokens.cuts[stays])
    return kept, index[stays], {number: pixels for number in shown if (pixels := decoded[number]) is not None}


def _decode(
    sample: Sample, node: ImageNode, settings: StreamSettings, side: int, readings: list[Reading]
) -> Pixels | None:
    what = f"document {sample.document.id} file {node.file}"
    try:
        pixels = to_pixels(decode_rgb(sample.files[node.file or ""], max_pixels=settings.max_pixels), side)
    except BadImage as error:
        readings.append(Reading(what, error.reason))
        return None
    readings.append(Reading(what))
    return pixels
