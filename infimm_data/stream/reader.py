"""The global row sequence: windows of documents, read in the order of the epoch and packed into rows.

A position is {epoch, window, row}; going on from one reads and packs a single window, wherever it is. Nothing here
knows of ranks: every rank plans the same rows and builds its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infimm_data.errors import ShardError
from infimm_data.shards import Sample, SampleLocation, read_sample
from infimm_data.stream.batch import Row
from infimm_data.stream.order import Split, epoch_order, fingerprint, locations, windows
from infimm_data.stream.rows import Failures, Piece, build_row, plan_rows
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary

PlannedRow = list[Piece]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The next row of the sequence: its epoch, the window in the epoch, the row in the window; all from 0."""

    epoch: int = 0
    window: int = 0
    row: int = 0


class Reader:
    """Reads one split of a folder of shards as rows. `failures` counts what was skipped."""

    def __init__(
        self, shards: str, vocabulary: Vocabulary, settings: StreamSettings, *, image_side: int, split: Split = "train"
    ) -> None:
        """Read the index; raises ShardError when it is damaged, ConfigError when the split is empty."""
        self.shards, self.vocabulary, self.settings, self.image_side = shards, vocabulary, settings, image_side
        self.failures = Failures(settings.max_bad_in_a_row)
        self._locations = locations(shards, split=split, fraction=settings.holdout_fraction)
        same_as_ever = {"template"} if settings.template == "plain" else set()  # a run from before there were any
        shaping = settings.model_dump(mode="json", exclude={"max_bad_in_a_row", *same_as_ever})
        self.fingerprint = fingerprint(shards, [shaping, vocabulary.fingerprint, split])

    @property
    def num_documents(self) -> int:
        """Documents in the split."""
        return len(self._locations)

    def rows(self, start: Position) -> Iterator[tuple[PlannedRow, Position]]:
        """Yield every row from `start` on, epoch after epoch without end, with the position after it.

        Raises ShardError when a whole epoch holds no row.
        """
        epoch = start.epoch
        while True:
            count = 0
            for planned, after in self.epoch(epoch, start if epoch == start.epoch else Position(epoch)):
                count += 1
                yield planned, after
            if count == 0 and epoch != start.epoch:
                raise ShardError(f"{self.shards}: not one of {self.num_documents} documents gives a row; see the log")
            epoch += 1

    def epoch(self, epoch: int, start: Position | None = None) -> Iterator[tuple[PlannedRow, Position]]:
        """Yield the rows of one epoch from `start` on, each with the position after it."""
        start = start or Position(epoch)
        order = epoch_order(self.num_documents, seed=self.settings.seed, epoch=epoch)
        for window, span in enumerate(windows(self.num_documents, self.settings.window_documents)):
            if window < start.window:
                continue
            samples = self._samples([self._locations[i] for i in order[span.start : span.stop]])
            seed = (self.settings.seed, epoch, window)
            planned = plan_rows(samples, self.vocabulary, self.settings, seed=seed, failures=self.failures)
            first = start.row if window == start.window else 0
            for row in range(first, len(planned)):
                is_last = row + 1 == len(planned)
                yield planned[row], Position(epoch, window + 1, 0) if is_last else Position(epoch, window, row + 1)

    def build(self, planned: PlannedRow) -> Row:
        """Return a planned row with its images decoded."""
        return build_row(planned, self.vocabulary, self.settings, image_side=self.image_side, failures=self.failures)

    def _samples(self, places: list[SampleLocation]) -> list[Sample]:
        found = []
        for place in places:
            try:
                found.append(read_sample(self.shards, place))
            except ShardError as error:
                self.failures.failed("document", "not_a_sample", str(error))
            else:
                self.failures.passed("document")
        return found
