"""Which documents of one bucket are copies of each other: keys, links and candidates, as whole columns.

A signature is a row of bytes. Documents that share a key are in one bucket; in it, equal signatures are linked at
once, different ones are candidates that their filter compares. The answer depends on the set of records alone, so
not on how buckets are spread over workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from infimm_data.comparing import GroupsDocuments, GroupsNearCopies
from infimm_data.groups import Positions, smallest_of_group

RECORD = np.dtype([("key", "<u8"), ("check", "<u8"), ("position", "<i8")])
"""A document in a bucket. check: a hash of the whole signature, its lowest bit set in the first bucket alone."""

PAIR = np.dtype([("left", "<i8"), ("right", "<i8")])

Records = npt.NDArray[np.void]
Signatures = npt.NDArray[np.uint8]

_MAX_NEIGHBOURS = 256  # candidates of one signature in one bucket: bounds the work on a million templated pages
_PAIRS_AT_ONCE = 1 << 18  # candidates that are handed on at once
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: Knuth's multiplicative hash
_NO_BIT = ~np.uint64(1)


DIGEST_BYTES = 16  # 128 bits: among 10**10 documents the chance of one false twin is 10**-19


def digest(text: str) -> bytes:
    """Return 16 bytes of BLAKE2b of a text: the signature of what has a twin only where it is equal."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def row_hashes(rows: npt.NDArray[np.uint64], seed: int = 0) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each row of a matrix."""
    found = np.full(len(rows), seed, dtype=np.uint64)
    for column in range(rows.shape[1]):
        found = (found ^ rows[:, column]) * _MULTIPLIER
        found ^= found >> np.uint64(32)
    return found


def signature_bytes(groups: GroupsDocuments) -> int:
    """Return the length of a filter's signatures."""
    return groups.signature_bytes if isinstance(groups, GroupsNearCopies) else DIGEST_BYTES


def num_keys(groups: GroupsDocuments) -> int:
    """Return how many keys a document has."""
    if not isinstance(groups, GroupsNearCopies):
        return 1
    return int(groups.keys(np.zeros((1, groups.signature_bytes), dtype=np.uint8)).shape[1])


def as_matrix(signatures: Sequence[bytes], size_bytes: int) -> Signatures:
    """Return signatures of one length as a matrix of bytes; none may be empty."""
    return np.frombuffer(bytearray().join(signatures), dtype=np.uint8).reshape(len(signatures), size_bytes)


def records_of(groups: GroupsDocuments, signatures: Signatures, positions: Positions) -> Records:
    """Return one record for each key of each signature."""
    numbers = np.ascontiguousarray(_padded(signatures)).view("<u8")
    keys = groups.keys(signatures) if isinstance(groups, GroupsNearCopies) else numbers[:, :1]
    checks = row_hashes(numbers) & _NO_BIT
    found = np.empty(keys.shape[::-1], dtype=RECORD)  # keys x documents
    found["key"] = keys.T
    found["check"] = checks
    found["check"][:1] |= np.uint64(1)
    found["position"] = positions
    return found.reshape(-1)


def _padded(signatures: Signatures) -> Signatures:
    missing = -signatures.shape[1] % 8
    return np.pad(signatures, ((0, 0), (0, missing))) if missing else signatures


def links_of(records: Records) -> tuple[Positions, Positions, Records]:
    """Return the links between equal signatures, and the records of the first of each, in buckets.

    records: all records of some keys, in any order. Links are told in the first bucket only, since equal signatures
    meet in all. What is returned stands in the order of key and position.
    """
    order = np.lexsort((records["position"], records["check"], records["key"]))
    ordered = records[order]
    starts = np.ones(len(ordered), dtype=bool)
    same_key = ordered["key"][1:] == ordered["key"][:-1]
    starts[1:] = ~same_key | (ordered["check"][1:] != ordered["check"][:-1])
    first = np.maximum.accumulate(np.where(starts, np.arange(len(ordered)), 0))
    told = ~starts & (ordered["check"] & np.uint64(1)).astype(bool)
    left, right = ordered["position"][first[told]], ordered["position"][told]
    singles = ordered[starts]
    return left, right, singles[np.lexsort((singles["position"], singles["key"]))]


def candidates_of(singles: Records) -> Iterator[tuple[Positions, Positions]]:
    """Yield in pieces the pairs to compare: each document with its next 256 in the bucket, and with its first.

    singles: as `links_of` returns them; of each pair the first position is the smaller.
    """
    keys, positions = singles["key"], singles["position"]
    for lag in range(1, _MAX_NEIGHBOURS + 1):
        at = np.flatnonzero(keys[lag:] == keys[:-lag])
        if not len(at):
            return
        yield from _pieces(positions[at], positions[at + lag])
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = keys[1:] != keys[:-1]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    far = np.flatnonzero(np.arange(len(keys)) - first > _MAX_NEIGHBOURS)
    yield from _pieces(positions[first[far]], positions[far])


def _pieces(left: Positions, right: Positions) -> Iterator[tuple[Positions, Positions]]:
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        yield left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE]


def unique_pairs(pairs: Records) -> Records:
    """Return PAIR records by left, then right, each once; ten times as fast as numpy's own on records."""
    ordered = pairs[np.lexsort((pairs["right"], pairs["left"]))]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered["left"][1:] != ordered["left"][:-1]) | (ordered["right"][1:] != ordered["right"][:-1])
    return ordered[new]


def forest(left: Positions, right: Positions) -> tuple[Positions, Positions]:
    """Return the same groups with fewest links: each member but the smallest with the smallest, members ascending."""
    members, ends = np.unique(np.concatenate([left, right]), return_inverse=True)
    labels = smallest_of_group(len(members), ends[: len(left)], ends[len(left) :])
    other = labels != np.arange(len(members))
    return members[labels[other]], members[other]


def group_signatures(groups: GroupsDocuments, signatures: Sequence[bytes]) -> Positions:
    """Return for each signature the smallest position in its group, all in memory; b"" is alone.

    What the group pass finds within its memory limit; for small sets and for tests.
    """
    present = np.array([at for at, signature in enumerate(signatures) if signature], dtype=np.int64)
    if not len(present):
        return np.arange(len(signatures), dtype=np.int64)
    matrix = as_matrix([signatures[at] for at in present.tolist()], signature_bytes(groups))
    left, right, singles = links_of(records_of(groups, matrix, np.arange(len(present))))
    lefts, rights = [left], [right]
    for a, b in candidates_of(singles) if isinstance(groups, GroupsNearCopies) else ():
        assert isinstance(groups, GroupsNearCopies)
        good = groups.alike(matrix[a], matrix[b])
        lefts.append(a[good])
        rights.append(b[good])
    left, right = present[np.concatenate(lefts)], present[np.concatenate(rights)]
    return smallest_of_group(len(signatures), left, right)
