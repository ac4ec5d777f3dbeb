"""The global row sequence: windows of documents, drawn from the mixture, read in a shuffled order, packed into rows.

A position is {window, row, how much was taken of each dataset}; going on from one reads and packs a single window,
wherever it is: at most `window_documents` documents are read again, and no row is built again. Nothing here knows of
ranks: every rank plans the same rows and builds its own. Cost of that: every rank tokenises every document (measured:
1 to 2 ms each); the images, the larger part, are read and decoded by the rank that needs them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from infimm_data.errors import ShardError
from infimm_data.shards import Sample
from infimm_data.stream.batch import Row
from infimm_data.stream.failures import Failures, Reading
from infimm_data.stream.mixture import Cursor, Dataset, draw, open_datasets
from infimm_data.stream.order import Split, epoch_order
from infimm_data.stream.piece import Piece
from infimm_data.stream.rows import build_row, plan_rows
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary

log = logging.getLogger(__name__)

PlannedRow = list[Piece]

FIRST_WINDOW = 16
"""Documents of the first window; each next one is twice as large, up to `window_documents`: the first batch comes as
soon as a few documents are read. Costs a little fill in the first few windows of a run alone."""

_NOT_SHAPING = {"max_bad_in_a_row", "mixture"}  # the mixture's part in the rows stands in the fingerprint by itself


@dataclass(frozen=True, slots=True)
class Position:
    """The next row: the row of a window, both from 0, and the cursors of all datasets at the start of the window.

    rows: of the sequence before it, which says at which step a run is here.
    """

    window: int
    row: int
    cursors: tuple[Cursor, ...]
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one window, and where the sequence stands at its start and after it."""

    start: Position
    rows: list[PlannedRow]
    after: Position

    def following(self, row: int) -> Position:
        """Return the position after a row of this window."""
        if row + 1 == len(self.rows):
            return self.after
        before = self.start.rows - self.start.row
        return Position(self.start.window, row + 1, self.start.cursors, before + row + 1)


class Reader:
    """Reads one split of a dataset, or of a mixture, as rows. `failures` counts what was skipped."""

    def __init__(
        self, shards: str, vocabulary: Vocabulary, settings: StreamSettings, *, image_side: int, split: Split = "train",
        epochs: int | None = None,
    ) -> None:  # fmt: skip
        """Read the indices; raises ShardError when one is damaged, ConfigError when the split is empty.

        epochs: of every dataset, in place of what the settings say.
        """
        self.shards, self.vocabulary, self.settings, self.image_side = shards, vocabulary, settings, image_side
        self.failures = Failures(settings.max_bad_in_a_row)
        self.datasets = open_datasets(shards, settings, split=split, epochs=epochs)
        self.fingerprint = self._fingerprint(split)

    def _fingerprint(self, split: Split) -> str:
        """Return 16 hex digits of BLAKE2b over the manifests and everything in the settings that shapes the rows."""
        shaping = self.settings.model_dump(mode="json", exclude=_NOT_SHAPING)
        mixed = [[one.name, one.share, one.limit, [asdict(shard) for shard in one.manifest]] for one in self.datasets]
        text = json.dumps([mixed, shaping, self.vocabulary.fingerprint, split], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def num_documents(self) -> int:
        """Documents in the split, over all datasets."""
        return sum(len(one.index) for one in self.datasets)

    @property
    def start(self) -> Position:
        """Where the sequence begins."""
        return Position(0, 0, (Cursor(),) * len(self.datasets))

    def epochs(self, position: Position) -> dict[str, float]:
        """Return how often each dataset was read, by name."""
        return {
            one.name: at.documents / len(one.index) for one, at in zip(self.datasets, position.cursors, strict=True)
        }

    def rows(self, start: Position) -> Iterator[tuple[PlannedRow, Position]]:
        """Yield every row from `start` on with the position after it; without end unless the epochs are limited."""
        for window in self.windows(start):
            for row in range(window.start.row, len(window.rows)):
                yield window.rows[row], window.following(row)

    def windows(self, start: Position) -> Iterator[Window]:
        """Yield the windows from `start` on; raises ShardError when as many documents as there are give no row."""
        position, num_vain = start, 0
        while (window := self._window(position)) is not None:
            yield window
            taken = sum(at.documents for at in window.after.cursors) - sum(at.documents for at in position.cursors)
            num_vain = 0 if window.rows else num_vain + taken
            if num_vain >= self.num_documents:
                where = ", ".join(one.folder for one in self.datasets)
                raise ShardError(f"{where}: not one of {self.num_documents} documents gives a row; see the log")
            position = window.after

    def _window(self, position: Position) -> Window | None:
        """Return the window of a position, or None when no dataset has a document left."""
        number, settings = position.window, self.settings
        size = min(settings.window_documents, FIRST_WINDOW << min(number, 32))
        if len(self.datasets) == 1:  # a window ends with the epoch: no document twice in a row
            size = min(size, self.num_documents - position.cursors[0].documents % self.num_documents)
        counts = draw(self.datasets, position.cursors, size, by_token=settings.weights_by == "token")
        if not any(counts):
            return None
        samples: list[Sample] = []
        sources: list[int] = []
        for source, (dataset, at, count) in enumerate(zip(self.datasets, position.cursors, counts, strict=True)):
            found = self._samples(dataset, at.documents, count)
            samples += found
            sources += [source] * len(found)
        rows = plan_rows(
            samples, self.vocabulary, settings, seed=(settings.seed, number), failures=self.failures, sources=sources
        )
        tokens = [0] * len(self.datasets)
        for row in rows:
            for piece in row:
                tokens[piece.source] += len(piece.tokens)
        cursors = tuple(
            Cursor(at.documents + count, at.tokens + more)
            for at, count, more in zip(position.cursors, counts, tokens, strict=True)
        )
        return Window(position, rows, Position(number + 1, 0, cursors, position.rows - position.row + len(rows)))

    def _samples(self, dataset: Dataset, start: int, count: int) -> list[Sample]:
        """Read the documents `start` to `start + count` of a dataset, counted over all of its epochs."""
        size, found = len(dataset.index), []
        for epoch in range(start // size, (start + count - 1) // size + 1 if count else 0):
            first, stop = max(start - epoch * size, 0), min(start + count - epoch * size, size)
            if first == 0 and epoch > 0:
                log.info("dataset=%s epoch=%d begins", dataset.name or dataset.folder, epoch)
            positions = np.arange(first, stop)
            order = epoch_order(positions, size, seed=self.settings.seed, name=dataset.name, epoch=epoch)
            for one in dataset.reads.read([dataset.index.place(number) for number in order]):
                if isinstance(one, ShardError):
                    self.failures.failed("document", "not_a_sample", str(one))
                else:
                    self.failures.passed("document")
                    found.append(one)
        return found

    def build(self, planned: PlannedRow) -> tuple[Row, list[Reading]]:
        """Return a planned row with its images decoded, and how each of them read; safe in any thread."""
        return build_row(planned, self.vocabulary, self.settings, image_side=self.image_side)
