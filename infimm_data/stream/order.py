"""Which documents belong to a split, and their order in an epoch: a permutation that any place of it is asked for.

The permutation is computed, not stored: a balanced Feistel network over the next power of four, walked until the
value is in range (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", section 4). So the place at which
a run goes on costs the same anywhere in an epoch, and no memory however many documents there are.
Memory of the index: 28 bytes per document and its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.errors import ConfigError
from infimm_data.shards import SampleLocation, ShardInfo, read_index_table

Split = Literal["train", "holdout"]

_ROUNDS = 8  # four make a pseudo-random permutation of good round functions (Luby and Rackoff 1988); ours are cheap
_INDICES_AT_A_TIME = 16  # files of an index read side by side; each is small, and may be far away


class Index:
    """Where the documents of a split lie, in the order of the shards."""

    def __init__(self, shards: Sequence[str], numbers: npt.NDArray[np.int32], columns: pa.Table) -> None:
        """shards: their names; numbers: which of them each row of `columns` (INDEX_SCHEMA) is in."""
        self._shards, self._numbers = shards, numbers
        self._keys = columns["key"]  # left in its chunks: one array of strings ends at 2 GB
        self._offsets, self._sizes, self._images, self._words = (
            np.from_dlpack(columns[name].combine_chunks())  # to_numpy would import pandas: half a second at every start
            for name in ("offset", "size", "num_images", "num_words")
        )

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def num_words(self) -> int:
        """Words in all documents, as `infimm_data.text.words` counts them."""
        return int(self._words.sum(dtype=np.int64))

    @property
    def num_images(self) -> int:
        """Images in all documents."""
        return int(self._images.sum(dtype=np.int64))

    def place(self, number: int) -> SampleLocation:
        """Return where the document `number` (from 0) lies."""
        return SampleLocation(
            shard=self._shards[self._numbers[number]],
            key=self._keys[number].as_py(),
            offset=int(self._offsets[number]),
            size=int(self._sizes[number]),
            num_images=int(self._images[number]),
            num_words=int(self._words[number]),
        )


def is_held_out(document: str, fraction: float) -> bool:
    """Return whether a document is held out: by its id alone, so a larger `fraction` only adds documents.

    fraction: in [0, 1), the share of documents that is held out.
    """
    digest = hashlib.blake2b(document.encode(), digest_size=8, person=b"infimm-holdout").digest()
    return int.from_bytes(digest, "big") < fraction * 2.0**64


def read_split(folder: str, shards: Sequence[ShardInfo], *, split: Split, fraction: float) -> Index:
    """Return the index of a split; it may be empty. Raises ShardError when an index is damaged."""
    with ThreadPoolExecutor(_INDICES_AT_A_TIME) as pool:
        tables = list(pool.map(lambda shard: read_index_table(folder, shard), shards))
    numbers = np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables])
    names = [shard.name for shard in shards]
    if not tables:
        raise ConfigError(f"{folder}: the manifest lists no shard; pack some documents")
    whole = pa.concat_tables(tables)
    if fraction == 0 and split == "train":
        return Index(names, numbers, whole)
    is_wanted = np.array(
        [is_held_out(key, fraction) == (split == "holdout") for key in whole["key"].to_pylist()], dtype=bool
    )
    return Index(names, numbers[is_wanted], whole.filter(pa.array(is_wanted)))


def epoch_order(positions: npt.NDArray[np.int64], count: int, *, seed: int, name: str, epoch: int) -> list[int]:
    """Return which of `count` documents stand at some positions of an epoch: a pure function of its arguments.

    Over all positions it is a permutation, another one in each epoch and for each dataset `name`.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    asked = f"{seed}\n{epoch}\n{name}".encode()
    keys = [
        np.uint64(int.from_bytes(hashlib.blake2b(asked, digest_size=8, salt=bytes([number])).digest(), "big"))
        for number in range(_ROUNDS)
    ]
    values = positions.astype(np.uint64)
    outside = np.arange(len(values))
    while len(outside):
        left, right = values[outside] >> half, values[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right + key) & mask)
        values[outside] = (left << half) | right
        outside = outside[values[outside] >= count]
    return [int(value) for value in values]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 15 with Stafford's variant 13)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
