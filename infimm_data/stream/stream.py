"""`Stream`: batches from a folder of shards or a mixture of them, exact to resume on any number of ranks and workers.

    with Stream("out/shards", vocabulary, settings, image_side=336, rows=8) as stream:
        for batch in stream: ...

The global row sequence is cut into global batches of `rows * world` rows. Which of them a rank takes depends on what
they cost (`deal`), so that no rank waits for another; which rows a global batch holds depends on nothing but its place.
Two threads work ahead: one plans the next window, one builds batches, with `workers` threads that decode images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.stream.batch import Batch, collate
from infimm_data.stream.failures import Failures
from infimm_data.stream.mixture import Cursor
from infimm_data.stream.order import Split
from infimm_data.stream.pack import deal
from infimm_data.stream.prefetch import Prefetched
from infimm_data.stream.reader import PlannedRow, Position, Reader
from infimm_data.stream.rows import row_cost
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary

VERSION = 2
"""Of a position; raise it when the same position means another row."""


class Stream:
    """Iterates training batches; see the module. Also a context manager that stops the background threads.

    shards: folder (or URL) with a manifest, or of a mixture the folder below which its relative paths lie;
    image_side: pixels, the side of the vision tower's input; rows: rows per batch and rank (>= 1); rank, world: this
    process among all; prefetch: batches made ahead (>= 1); workers: threads that decode images (None: one per core,
    at most 8), which change nothing but the speed.

    Ends only where the recipe limits the epochs; rows that do not fill a last global batch are counted as left out.
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
        workers: int | None = None,
    ) -> None:
        """Read the index; raises ShardError or ConfigError, see `Reader`."""
        if not 0 <= rank < world:
            raise ConfigError(f"rank {rank}: expected 0..{world - 1} of {world} ranks")
        self._reader = Reader(shards, vocabulary, settings, image_side=image_side)
        self._rows, self._rank, self._world, self._depth = rows, rank, world, prefetch
        self._workers = workers or min(os.cpu_count() or 1, 8)
        self._position = self._reader.start
        self._ahead: Prefetched[tuple[Batch, Position]] | None = None

    @property
    def failures(self) -> Failures:
        """What was skipped so far, counted by reason (the background threads may be a few batches ahead)."""
        return self._reader.failures

    @property
    def epoch(self) -> int:
        """Epochs that every dataset has behind it at the next row."""
        return int(min(self.epochs.values()))

    @property
    def epochs(self) -> dict[str, float]:
        """How often each dataset was read, by name ("" for the only one); up to the window of the next row."""
        return self._reader.epochs(self._position)

    @property
    def source_names(self) -> tuple[str, ...]:
        """The datasets by the number that `Batch.sources` gives; ("",) for the only one."""
        return tuple(one.name for one in self._reader.datasets)

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """What the loss of a token counts, by the number of its dataset."""
        return tuple(one.loss_weight for one in self._reader.datasets)

    @property
    def num_documents(self) -> int:
        """Documents in the training split."""
        return self._reader.num_documents

    def state_dict(self) -> dict[str, Any]:
        """Return where the next batch starts: a small dict for JSON, the same on every rank; see `state_of`."""
        return state_of(self._reader, self._position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; raises ConfigError when shards or settings are others."""
        self.close()
        self._position = position_of(self._reader, state)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._ahead is None:
            self._ahead = Prefetched(self._batches(self._position), self._depth)
        batch, self._position = next(self._ahead)
        return batch

    def _batches(self, start: Position) -> Iterator[tuple[Batch, Position]]:
        size = self._rows * self._world
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="infimm-decode") as pool,
            Prefetched(self._reader.windows(start), depth=1) as windows,
        ):
            rows = (
                (window.rows[row], window.following(row))
                for window in windows
                for row in range(window.start.row, len(window.rows))
            )
            while some := list(islice(rows, size)):
                if len(some) < size:
                    self.failures.left_out("row_without_batch", len(some), "rows at the end of the stream")
                    return
                costs = [row_cost(planned, self._reader.settings) for planned, _ in some]
                mine = deal(costs, self._world)[self._rank]
                yield self._build(pool, [some[i][0] for i in mine]), some[-1][1]

    def _build(self, pool: ThreadPoolExecutor, rows: list[PlannedRow]) -> Batch:
        built = []
        for row, readings in pool.map(self._reader.build, rows):
            self.failures.note_images(readings)
            built.append(row)
        return collate(built, image_side=self._reader.image_side)

    def close(self) -> None:
        """Stop working ahead; iterating again goes on with the batch after the last one taken."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def state_of(reader: Reader, position: Position) -> dict[str, Any]:
    """Return a position as data for JSON. sources: (documents, tokens) taken of each dataset before the window."""
    return {
        "version": VERSION,
        "fingerprint": reader.fingerprint,
        "rows": position.rows,
        "window": position.window,
        "row": position.row,
        "sources": {
            one.name: [at.documents, at.tokens] for one, at in zip(reader.datasets, position.cursors, strict=True)
        },
    }


def position_of(reader: Reader, state: dict[str, Any]) -> Position:
    """Return the position in a stream's state; raises ConfigError when it is not one of this reader's rows."""
    if state.get("version") != VERSION:
        raise ConfigError(
            f"{reader.shards}: the checkpoint holds a position of version {state.get('version', 1)} of the stream, "
            f"expected {VERSION}; start a new run with another --out"
        )
    found, expected = state.get("fingerprint"), reader.fingerprint
    if found != expected:
        raise ConfigError(
            f"{reader.shards}: the checkpoint was made on other shards, tokenizer or stream settings "
            f"(fingerprint {found}, here {expected}); use those, or start a new run with another --out"
        )
    try:
        cursors = tuple(Cursor(*state["sources"][one.name]) for one in reader.datasets)
        return Position(state["window"], state["row"], cursors, state["rows"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{reader.shards}: not a position of the stream ({error!r}): {str(state)[:200]}") from None


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
    reader = Reader(shards, vocabulary, settings, image_side=image_side, split=split, epochs=1)
    planned = (row for row, _ in reader.rows(reader.start))
    while some := list(islice(planned, rows)):
        built = []
        for row in some:
            found, readings = reader.build(row)
            reader.failures.note_images(readings)
            built.append(found)
        yield collate(built, image_side=image_side)
