"""How a document reaches the model: its tokens, the packed row it lies in, and which token may look at which image."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from infimm_data.errors import ConfigError, ShardError
from infimm_data.shards import Sample, read_sample
from infimm_data.stream.mixture import Cursor
from infimm_data.stream.order import Split, epoch_order
from infimm_data.stream.reader import FIRST_WINDOW, PlannedRow, Position, Reader
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import IGNORED, Vocabulary


@dataclass(frozen=True)
class Reading:
    """How training reads shards: its recipe's name, vocabulary, settings; decode: ids of one token -> its text."""

    name: str
    vocabulary: Vocabulary
    settings: StreamSettings
    decode: Callable[[list[int]], str]
    image_side: int = 32  # pixels are decoded to see that they can be, and not shown


class Packed:
    """Finds the rows of the first epoch in which a document lies."""

    def __init__(self, shards: str, reading: Reading) -> None:
        """shards: a finished folder of them, read without other datasets; its index is read when it is first needed."""
        self._shards, self._reading = shards, reading
        self._settings = reading.settings.model_copy(update={"mixture": {}})
        self._lock = threading.Lock()
        self._readers: dict[Split, Reader] = {}
        self._places: dict[str, tuple[Split, int]] = {}

    def _place(self, key: str) -> tuple[Split, int] | None:
        """Return the split of a document and its number in it; None where it is in no shard."""
        with self._lock:
            if not self._readers:
                splits: tuple[Split, ...] = ("train", "holdout") if self._settings.holdout_fraction else ("train",)
                for split in splits:
                    try:
                        reader = self._reader(split)
                    except ConfigError:  # a split without documents
                        continue
                    index = reader.datasets[0].index
                    self._places |= {index.place(number).key: (split, number) for number in range(len(index))}
        return self._places.get(key)

    def _reader(self, split: Split) -> Reader:
        reading = self._reading
        side = reading.image_side
        found = Reader(self._shards, reading.vocabulary, self._settings, image_side=side, split=split)
        self._readers[split] = found
        return found

    def sample(self, key: str) -> Sample | None:
        """Return a document as it lies in the shards, None where it is in none."""
        found = self._place(key)
        if found is None:
            return None
        split, number = found
        return read_sample(self._shards, self._readers[split].datasets[0].index.place(number))

    def read(self, key: str) -> dict[str, Any] | None:
        """Return the rows of the first epoch that hold a part of a document; None where it is in no shard.

        Reads and packs one window of documents. Raises ShardError where the shards are damaged.
        """
        found = self._place(key)
        if found is None:
            return None
        split, number = found
        reader = self._readers[split]
        window = next(reader.windows(_window_of(reader, number)))
        rows = [row for row in window.rows if any(piece.sample.document.id == key for piece in row)]
        if not rows:
            raise ShardError(f"{self._shards}: document {key} gives no row; see the log")
        settings = self._settings.model_dump(mode="json", include={"row_tokens", "window_documents", "template"})
        about = {"recipe": self._reading.name, "split": split, "window": window.start.window, "settings": settings}
        return {**about, "rows": [self._row(reader, row) for row in rows]}

    def _row(self, reader: Reader, planned: PlannedRow) -> dict[str, Any]:
        row, _ = reader.build(planned)
        reading = self._reading
        ids = row.input_ids.tolist()
        return {
            "tokens": [reading.decode([one]) for one in ids],
            "is_special": [one in _special(reading.vocabulary) for one in ids],
            "has_loss": (row.labels != IGNORED).tolist(),
            "document": row.document_ids.tolist(),
            "image": row.image_index.tolist(),
            "documents": [piece.sample.document.id for piece in planned],
            "images": [_image(planned[document].sample, number) for document, number in row.shown],
        }


def _window_of(reader: Reader, number: int) -> Position:
    """Return where the window of the first epoch begins that holds a document of the reader's one dataset."""
    (dataset,) = reader.datasets
    count, settings = len(dataset.index), reader.settings
    order = epoch_order(np.arange(count), count, seed=settings.seed, name=dataset.name, epoch=0)
    at, window, start = order.index(number), 0, 0
    while start + (size := min(settings.window_documents, FIRST_WINDOW << min(window, 32))) <= at:
        window, start = window + 1, start + size
    return Position(window, 0, (Cursor(start, 0),))


def _image(sample: Sample, number: int) -> dict[str, Any]:
    """Return which picture an image of a row is: its document, its number in it, what the page calls it."""
    return {"id": sample.document.id, "number": number, "alt": sample.document.images[number].alt}


def _special(vocabulary: Vocabulary) -> frozenset[int]:
    return frozenset({vocabulary.bos, vocabulary.eos, vocabulary.end_of_chunk, vocabulary.image, vocabulary.pad})


def picture_of(sample: Sample, number: int) -> bytes | None:
    """Return the bytes of a sample's image by its number from 0, None where it has none."""
    images = sample.document.images
    return sample.files.get(images[number].file or "") if 0 <= number < len(images) else None
