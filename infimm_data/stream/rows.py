"""Rows of a window: which pieces share a row, and the row itself with its images decoded.

Packing looks at tokens only; images are decoded when a row is built, by the rank that needs it. An image that turns
out broken then takes its `<image>` token out of the row (padding grows by one), and the tokens that looked at it
look at the image before it: the same on every rank, and again after a resume.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from infimm_data.document import Document, ImageNode
from infimm_data.errors import ShardError
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.shards import Sample
from infimm_data.stream.batch import Row
from infimm_data.stream.images import Pixels, to_pixels
from infimm_data.stream.pack import pack
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.templates import chat_pieces, conversation_of
from infimm_data.stream.tokens import IGNORED, Ints, Tokens, Vocabulary, pieces, tokenise

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that stay together in a row, and the sample whose images they look at."""

    tokens: Tokens
    sample: Sample


@dataclass(slots=True)
class Failures:
    """Counts what was skipped, by reason, and stops the run when too much fails in a row.

    max_in_a_row: documents, or images, one after the other; counted per reader, so a damaged part of the shards
    stops every rank that meets it.
    """

    max_in_a_row: int
    documents: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    _in_a_row: dict[str, int] = field(default_factory=lambda: {"document": 0, "image": 0})

    def passed(self, kind: str) -> None:
        """Note a document or an image that was read."""
        self._in_a_row[kind] = 0

    def left_out(self, reason: str, number: int, what: str) -> None:
        """Count and name parts of a good document that training cannot use."""
        self.documents[reason] += number
        log.warning("left out %d parts reason=%s %s", number, reason, what)

    def counts(self) -> dict[str, int]:
        """Return "document:REASON" and "image:REASON" -> how many were skipped so far."""
        named = (("document", self.documents), ("image", self.images))
        return {f"{kind}:{reason}": number for kind, found in named for reason, number in sorted(found.items())}

    def failed(self, kind: str, reason: str, what: str) -> None:
        """Count and name one that was skipped; raises ShardError when it is one too many in a row."""
        (self.documents if kind == "document" else self.images)[reason] += 1
        self._in_a_row[kind] += 1
        log.warning("skipped %s reason=%s %s", kind, reason, what)
        if self._in_a_row[kind] >= self.max_in_a_row:
            raise ShardError(
                f"{what}: {self._in_a_row[kind]} {kind}s in a row cannot be read (last reason: {reason}), at most "
                f"{self.max_in_a_row - 1} are skipped; verify the shards, or raise max_bad_in_a_row"
            )


def plan_rows(
    samples: Sequence[Sample], vocabulary: Vocabulary, settings: StreamSettings, *, seed: Sequence[int],
    failures: Failures,
) -> list[list[Piece]]:  # fmt: skip
    """Return the rows of one window, as the pieces in each; packed best, then shuffled by `seed`.

    Shuffled, as packing leaves the long documents in the first rows.
    """
    found = [
        Piece(part, sample)
        for sample in samples
        for part in _pieces_of(sample.document, vocabulary, settings, failures)
    ]
    rows = [[found[i] for i in row] for row in pack([len(piece.tokens) for piece in found], settings.row_tokens)]
    return [rows[i] for i in np.random.default_rng(list(seed)).permutation(len(rows))]


def _pieces_of(
    document: Document, vocabulary: Vocabulary, settings: StreamSettings, failures: Failures
) -> Iterable[Tokens]:
    conversation = None if settings.template == "plain" else conversation_of(document)
    if conversation is None:
        tokens = tokenise(document, vocabulary, loss_before_first_image=settings.loss_before_first_image)
        return pieces(tokens, settings.row_tokens) if len(tokens) else ()
    found, num_too_long = chat_pieces(conversation, vocabulary, settings.template, settings.row_tokens)
    if num_too_long:
        failures.left_out("exchange_too_long", num_too_long, f"document {document.id}")
    if conversation.images and not settings.loss_before_first_image:
        for piece in found:
            piece.labels[piece.image_index < 0] = IGNORED
    return found


def build_row(
    row: Sequence[Piece], vocabulary: Vocabulary, settings: StreamSettings, *, image_side: int, failures: Failures
) -> Row:
    """Return a packed row with its images decoded. image_side: pixels, the side of the vision tower's input."""
    images: list[Pixels] = []
    columns: list[list[Ints]] = [[], [], [], [], []]
    for number, piece in enumerate(row):
        tokens, index, pixels = _see(piece, vocabulary, settings, image_side, failures)
        shown = np.where(index >= 0, index + len(images), -1) if settings.images else np.full(len(index), -1)
        labels = tokens.labels.copy()
        labels[:1] = IGNORED  # nothing before it may predict it: not the document before, not the cut-off part
        parts = (tokens.ids, labels, np.full(len(tokens), number), np.arange(len(tokens)), shown)
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
        images += pixels if settings.images else []
    fillers = (vocabulary.pad, IGNORED, -1, 0, -1)
    ids, labels, documents, positions, index = (
        _padded(column, settings.row_tokens, filler) for column, filler in zip(columns, fillers, strict=True)
    )
    return Row(
        input_ids=ids,
        labels=labels,
        document_ids=documents,
        position_ids=positions,
        image_index=index,
        images=tuple(images),
    )


def _padded(parts: Sequence[Ints], length: int, filler: int) -> Ints:
    values = np.concatenate(parts).astype(np.int64)
    return np.concatenate([values, np.full(length - len(values), filler, dtype=np.int64)])


def _see(
    piece: Piece, vocabulary: Vocabulary, settings: StreamSettings, side: int, failures: Failures
) -> tuple[Tokens, Ints, list[Pixels]]:
    """Decode what a piece looks at; return its tokens without broken `<image>`s, their index, and the pixels.

    The text-only twin decodes as well: which tokens stay must not depend on whether images are shown.
    """
    nodes = [node for node in piece.sample.document.nodes if isinstance(node, ImageNode)]
    decoded: dict[int, Pixels | None] = {}

    def good(number: int) -> int:
        """Return the latest image at or before `number` that decodes, or -1."""
        while number >= 0:
            if number not in decoded:
                decoded[number] = _decode(piece.sample, nodes[number], settings, side, failures)
            if decoded[number] is not None:
                return number
            number -= 1
        return -1

    latest = {int(number): good(int(number)) for number in np.unique(piece.tokens.image_index)}
    shown = sorted({number for number in latest.values() if number >= 0})
    place = {number: i for i, number in enumerate(shown)} | {-1: -1}
    index = np.array([place[latest[int(number)]] for number in piece.tokens.image_index], dtype=np.int64)
    is_own = np.array([latest[int(number)] == number for number in piece.tokens.image_index], dtype=bool)
    stays = (piece.tokens.ids != vocabulary.image) | is_own
    tokens = piece.tokens
    kept = Tokens(tokens.ids[stays], tokens.labels[stays], tokens.image_index[stays], tokens.cuts[stays])
    return kept, index[stays], [pixels for number in shown if (pixels := decoded[number]) is not None]


def _decode(sample: Sample, node: ImageNode, settings: StreamSettings, side: int, failures: Failures) -> Pixels | None:
    try:
        pixels = to_pixels(decode_rgb(sample.files[node.file or ""], max_pixels=settings.max_pixels), side)
    except BadImage as error:
        failures.failed("image", error.reason, f"document {sample.document.id} file {node.file}")
        return None
    failures.passed("image")
    return pixels
