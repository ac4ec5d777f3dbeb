"""What evaluation sets hold, as an index that training data are compared with: n-grams of questions, hashes of images.

One Parquet table, a row for each: benchmark, kind ("ngram", "sha256", "phash"), length (words of an n-gram, else 0) and
key (8 or 32 bytes). It holds hashes alone, so it may be passed on where the sets may not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.errors import ConfigError
from infimm_data.files import identity
from infimm_data.hamming import BITS, near_pairs
from infimm_data.ngrams import ngram_keys, word_hashes
from infimm_data.tables import DAMAGED, read_metadata, read_table, write_table
from infimm_data.text import normal_form

NGRAM = 13  # words: GPT-3 (Brown et al. 2020, appendix C) and later reports; datatrove takes 12
SHORTEST = 8  # words of a question that is compared whole: "what colour is the car" stands on many honest pages
SCHEMA = pa.schema([("benchmark", pa.string()), ("kind", pa.string()), ("length", pa.int32()), ("key", pa.binary())])
_FORMAT = "benchmarks 1"

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class BenchmarkIndex:
    """ngrams: by length, ascending keys, each with the number of its benchmark; phash: likewise; sha256: by hex."""

    names: tuple[str, ...]
    ngrams: Mapping[int, tuple[Keys, npt.NDArray[np.int64]]]
    sha256: Mapping[str, int]
    phash: tuple[Keys, npt.NDArray[np.int64]]

    def in_text(self, text: str) -> dict[str, int]:
        """Return how many different n-grams of a text each benchmark holds; only benchmarks that hold any."""
        hashes = word_hashes(normal_form(text))
        found: dict[str, int] = {}
        for length, (known, owners) in self.ngrams.items():
            keys = np.unique(ngram_keys(hashes, length))
            hits = owners[np.isin(known, keys)]
            for number, count in zip(*np.unique(hits, return_counts=True), strict=True):
                name = self.names[int(number)]
                found[name] = found.get(name, 0) + int(count)
        return found

    def in_images(
        self, phash: Keys, sha256: Sequence[str | None], within: int
    ) -> tuple[npt.NDArray[np.float64], list[str | None]]:
        """Return for each image the bits to the nearest image of a benchmark, and which benchmarks have one so near.

        0 bits also where the file is the same; NaN and None where nothing lies within `within` bits. Names are joined
        by commas.
        """
        distance = np.full(len(phash), np.nan)
        owners: list[set[int]] = [set() for _ in range(len(phash))]
        for row, name in enumerate(sha256):
            if name is not None and name in self.sha256:
                distance[row] = 0
                owners[row].add(self.sha256[name])
        for row, owner, bits in self._near(phash, within):
            distance[row] = np.fmin(distance[row], bits)
            owners[row].add(owner)
        return distance, [",".join(sorted(self.names[one] for one in some)) or None for some in owners]

    def _near(self, phash: Keys, within: int) -> Iterator[tuple[int, int, int]]:
        """Yield (row, benchmark, bits) for every pair of an image and a benchmark's image that lie so near."""
        known, known_owners = self.phash
        unique, inverse = np.unique(np.concatenate([known, phash]), return_inverse=True)
        owners_of, rows_of = _positions(inverse[: len(known)]), _positions(inverse[len(known) :])
        is_known = np.isin(unique, known)
        equal = np.arange(len(unique), dtype=np.int64)
        both_ways = (pair for a, b in near_pairs(unique, within) for pair in ((a, b), (b, a)))
        for image, benchmark in itertools.chain([(equal, equal)], both_ways):
            wanted = is_known[benchmark]
            for one, other in zip(image[wanted].tolist(), benchmark[wanted].tolist(), strict=True):
                bits = int(np.bitwise_count(unique[one] ^ unique[other]))
                for row in rows_of.get(one, ()):
                    yield from ((row, int(known_owners[at]), bits) for at in owners_of[other])


def _positions(values: npt.NDArray[np.int64]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for position, value in enumerate(values.tolist()):
        found.setdefault(value, []).append(position)
    return found


def text_keys(texts: Iterable[str], ngram: int = NGRAM, shortest: int = SHORTEST) -> set[tuple[int, int]]:
    """Return (length, key) of the n-grams of questions; one of fewer words than `ngram` is compared whole.

    One of fewer than `shortest` words gives nothing.
    """
    found: set[tuple[int, int]] = set()
    for text in texts:
        hashes = word_hashes(normal_form(text))
        length = min(ngram, len(hashes))
        if length >= shortest:
            found.update((length, int(key)) for key in ngram_keys(hashes, length))
    return found


def write_index(path: str, rows: Iterable[tuple[str, str, int, bytes]], settings: Mapping[str, int]) -> int:
    """Write an index of (benchmark, kind, length, key); return how many different rows there are."""
    ordered = sorted(set(rows))
    arrays = [pa.array([row[at] for row in ordered], type=field.type) for at, field in enumerate(SCHEMA)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    write_table(path, table, fingerprint=_FORMAT, counts=settings)
    return len(ordered)


def check_index(path: str) -> None:
    """Raise ConfigError where there is no index at `path`."""
    if read_metadata(path)[0] != _FORMAT:
        makes = "make one with 'infimm benchmark-index NAME=PATH... --out FILE'"
        raise ConfigError(f"index {path}: no index of benchmarks is there; {makes}")


def load_index(path: str) -> BenchmarkIndex:
    """Return the index in a file; the same file is read once in a process. An empty path holds nothing.

    Raises ConfigError where it is none.
    """
    return (
        _load(path, identity(path))
        if path
        else BenchmarkIndex((), {}, {}, (np.zeros(0, np.uint64), np.zeros(0, np.int64)))
    )


@functools.lru_cache(maxsize=2)
def _load(path: str, _: str) -> BenchmarkIndex:
    check_index(path)
    try:
        columns = read_table(path).to_pydict()
    except DAMAGED as error:
        raise ConfigError(f"index {path}: it is damaged ({error}); make it anew") from None
    names = tuple(sorted(set(columns["benchmark"])))
    number = {name: at for at, name in enumerate(names)}
    rows = list(zip(*(columns[name] for name in SCHEMA.names), strict=True))
    lengths = sorted({length for _, kind, length, _ in rows if kind == "ngram"})
    return BenchmarkIndex(
        names,
        {length: _sorted([(key, number[name]) for name, kind, n, key in rows if (kind, n) == ("ngram", length)])
         for length in lengths},
        {key.hex(): number[name] for name, kind, _, key in rows if kind == "sha256"},
        _sorted([(key, number[name]) for name, kind, _, key in rows if kind == "phash"]),
    )  # fmt: skip


def _sorted(rows: Sequence[tuple[bytes, int]]) -> tuple[Keys, npt.NDArray[np.int64]]:
    ordered = sorted((int.from_bytes(key, "little"), owner) for key, owner in rows)
    keys = np.array([key for key, _ in ordered], dtype=np.uint64)
    return keys, np.array([owner for _, owner in ordered], dtype=np.int64)


def key_bytes(key: int) -> bytes:
    """Return a 64-bit key as an index holds it."""
    return key.to_bytes(BITS // 8, "little")
