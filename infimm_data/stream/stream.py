"""`Stream`: batches without end from a folder of shards, exact to resume on any number of ranks.

    with Stream("out/shards", vocabulary, settings, image_side=336, rows=8) as stream:
        for batch in stream: ...

The global row sequence is cut into global batches of `rows * world` rows; rank r takes its slice of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.stream.batch import Batch, collate
from infimm_data.stream.order import Split
from infimm_data.stream.prefetch import Prefetched
from infimm_data.stream.reader import Position, Reader
from infimm_data.stream.rows import Failures
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary


class Stream:
    """Iterates training batches; see the module. Also a context manager that stops the background thread.

    shards: folder (or URL) with a manifest; image_side: pixels, the side of the vision tower's input; rows: rows
    per batch and rank (>= 1); rank, world: this process among all; prefetch: batches made ahead (>= 1).
    """

    def __init__(
        self,
        shards: str,
        vocabulary: Vocabulary,
        settings: StreamSettings,
        *,
        image_side: int,
        rows: int,
        rank: int = 0,
        world: int = 1,
        prefetch: int = 2,
    ) -> None:
        """Read the index; raises ShardError or ConfigError, see `Reader`."""
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank}: expected 0..{world - 1} of {world} ranks")
        self._reader = Reader(shards, vocabulary, settings, image_side=image_side)
        self._rows, self._rank, self._world, self._depth = rows, rank, world, prefetch
        self._position = Position()
        self._ahead: Prefetched[tuple[Batch, Position]] | None = None

    @property
    def failures(self) -> Failures:
        """What was skipped so far, counted by reason (the background thread may be a few batches ahead)."""
        return self._reader.failures

    @property
    def epoch(self) -> int:
        """The epoch of the next row, from 0."""
        return self._position.epoch

    @property
    def num_documents(self) -> int:
        """Documents in the training split."""
        return self._reader.num_documents

    def state_dict(self) -> dict[str, Any]:
        """Return where the next batch starts: a small dict for JSON, the same on every rank."""
        where = self._position
        return {
            "fingerprint": self._reader.fingerprint,
            "epoch": where.epoch,
            "window": where.window,
            "row": where.row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; raises ConfigError when shards or settings are others."""
        found, expected = state["fingerprint"], self._reader.fingerprint
        if found != expected:
            raise ConfigError(
                f"{self._reader.shards}: the checkpoint was made on other shards, tokenizer or stream settings "
                f"(fingerprint {found}, here {expected}); use those, or start a new run with another --out"
            )
        self.close()
        self._position = Position(state["epoch"], state["window"], state["row"])

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._ahead is None:
            self._ahead = Prefetched(self._batches(self._position), self._depth)
        batch, self._position = next(self._ahead)
        return batch

    def _batches(self, start: Position) -> Iterator[tuple[Batch, Position]]:
        rows = self._reader.rows(start)
        mine = range(self._rank * self._rows, (self._rank + 1) * self._rows)
        while True:
            built = []
            for number in range(self._rows * self._world):
                planned, after = next(rows)
                if number in mine:
                    built.append(self._reader.build(planned))
            yield collate(built, image_side=self._reader.image_side), after

    def close(self) -> None:
        """Stop working ahead; iterating again goes on with the batch after the last one taken."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def one_pass(
    shards: str,
    vocabulary: Vocabulary,
    settings: StreamSettings,
    *,
    image_side: int,
    rows: int,
    split: Split = "holdout",
) -> Iterator[Batch]:
    """Yield every row of a split once, in batches of `rows` (the last may be shorter); always the same batches.

    Raises ConfigError when the split is empty, ShardError when the shards are damaged.
    """
    reader = Reader(shards, vocabulary, settings, image_side=image_side, split=split)
    built = []
    for planned, _ in reader.epoch(0):
        built.append(reader.build(planned))
        if len(built) == rows:
            yield collate(built, image_side=image_side)
            built = []
    if built:
        yield collate(built, image_side=image_side)
