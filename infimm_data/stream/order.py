"""Which documents belong to a split, and their global order in an epoch: a permutation of the whole index.

Cost: 8 bytes per document for the permutation, and one `SampleLocation` per document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import numpy.typing as npt

from infimm_data.errors import ConfigError
from infimm_data.shards import SampleLocation, read_index, read_manifest

Split = Literal["train", "holdout"]


def is_held_out(document: str, fraction: float) -> bool:
    """Return whether a document is held out: by its id alone, so a larger `fraction` only adds documents.

    fraction: in [0, 1), the share of documents that is held out.
    """
    digest = hashlib.blake2b(document.encode(), digest_size=8, person=b"infimm-holdout").digest()
    return int.from_bytes(digest, "big") < fraction * 2.0**64


def locations(shards: str, *, split: Split, fraction: float) -> list[SampleLocation]:
    """Return where the documents of a split lie, in the order of the shards.

    Raises ShardError when manifest or index is damaged, ConfigError when the split is empty.
    """
    found = [
        location
        for shard in read_manifest(shards)
        for location in read_index(shards, shard)
        if is_held_out(location.key, fraction) == (split == "holdout")
    ]
    if not found:
        remedy = "pack more documents or raise holdout_fraction" if split == "holdout" else "pack some documents"
        raise ConfigError(f"{shards}: no document in the {split} split (holdout_fraction {fraction}); {remedy}")
    return found


def epoch_order(count: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return a permutation of `count` documents: a pure function of its arguments (PCG64), other per epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def fingerprint(shards: str, settings: object) -> str:
    """Return 16 hex digits of BLAKE2b over the manifest and everything in `settings` that shapes the rows."""
    manifest = [asdict(shard) for shard in read_manifest(shards)]
    text = json.dumps([manifest, settings], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def windows(count: int, size: int) -> Sequence[range]:
    """Return the ranges of positions that are packed together; the last may be shorter."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
