"""Which dataset each document of the stream comes from: shares of documents or of tokens, kept to the document.

A dataset's cursor says how many documents, and tokens, were taken of it. The next document comes from the dataset
that is furthest behind its share (Sainte-Laguë's rule, which is how seats are given to parties): no dice, so the
mixture is exact over any stretch and not only on average, and what goes on from the cursors is what would have come.

share = weight ** (1 / temperature), scaled to a sum of 1. A temperature of 1 leaves the weights as they are, a
higher one evens them out (the form of multilingual BERT's and mT5's sampling, exponent 1/T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infimm_data.errors import ConfigError
from infimm_data.files import join
from infimm_data.shard_reads import ShardReads
from infimm_data.shards import ShardInfo, read_manifest
from infimm_data.stream.order import Index, Split, read_split
from infimm_data.stream.settings import SourceSettings, StreamSettings

TOKENS_PER_WORD = 1.4
"""A first guess, until a dataset's first window is counted (about what LLaMA's tokenizer gives on English)."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How much of a dataset was taken: documents over all epochs, and their tokens."""

    documents: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One dataset of a mixture. name: "" for the only one; limit: documents over all epochs, None for no end."""

    name: str
    folder: str
    manifest: Sequence[ShardInfo]
    index: Index
    reads: ShardReads
    share: float
    limit: int | None
    loss_weight: float

    def tokens_per_document(self, cursor: Cursor) -> float:
        """Return the mean so far, or a guess from the words of the index before there is one."""
        if cursor.documents:
            return max(cursor.tokens / cursor.documents, 1.0)
        return max(TOKENS_PER_WORD * self.index.num_words / len(self.index), 1.0)


def open_datasets(root: str, settings: StreamSettings, *, split: Split, epochs: int | None) -> list[Dataset]:
    """Return the datasets of a recipe; one without a document in the split is left out of the holdout split.

    root: the only dataset's shards, or of a mixture the folder below which its relative paths lie; epochs: of all,
    in place of the recipe's. Raises ConfigError when there is nothing to read, ShardError when an index is damaged.
    """
    chosen = settings.mixture or {"": SourceSettings(shards=root)}
    fraction = settings.holdout_fraction
    found = []
    for name, source in chosen.items():
        folder = path_of(root, source.shards) if settings.mixture else root
        manifest = read_manifest(folder)
        index = read_split(folder, manifest, split=split, fraction=fraction)
        if len(index) or split == "train":
            found.append((name, source, folder, manifest, index))
    empty = [folder for _, _, folder, _, index in found if not len(index)] or ([] if found else [root])
    if empty:
        remedy = "pack more documents or raise holdout_fraction" if split == "holdout" else "pack some documents"
        raise ConfigError(f"{empty[0]}: no document in the {split} split (holdout_fraction {fraction}); {remedy}")
    shares = shares_of([(source, index) for _, source, _, _, index in found], settings)
    return [
        Dataset(
            name=name, folder=folder, manifest=manifest, index=index, reads=ShardReads(folder, manifest), share=share,
            limit=None if (times := epochs or source.epochs or settings.epochs) is None else times * len(index),
            loss_weight=source.loss_weight,
        )
        for share, (name, source, folder, manifest, index) in zip(shares, found, strict=True)
    ]  # fmt: skip


def path_of(root: str, path: str) -> str:
    """Return where the shards of a mixture's dataset lie: absolute paths and URLs as they are, others below `root`."""
    return path if not root or path.startswith("/") or "://" in path else join(root, path)


def shares_of(datasets: Sequence[tuple[SourceSettings, Index]], settings: StreamSettings) -> list[float]:
    """Return the share of each dataset, the sum being 1; without a weight its size counts."""
    sizes = [index.num_words if settings.weights_by == "token" else len(index) for _, index in datasets]
    weights = [
        (max(size, 1) if source.weight is None else source.weight) ** (1 / settings.temperature)
        for (source, _), size in zip(datasets, sizes, strict=True)
    ]
    return [weight / sum(weights) for weight in weights]


def draw(datasets: Sequence[Dataset], cursors: Sequence[Cursor], count: int, *, by_token: bool) -> list[int]:
    """Return how many of the next `count` documents each dataset gives; fewer in all when all come to their limit."""
    costs = [one.tokens_per_document(at) if by_token else 1.0 for one, at in zip(datasets, cursors, strict=True)]
    done = [float(at.tokens if by_token else at.documents) for at in cursors]
    taken = [0] * len(datasets)
    for _ in range(count):
        open_ones = [
            number
            for number, one in enumerate(datasets)
            if one.limit is None or cursors[number].documents + taken[number] < one.limit
        ]
        if not open_ones:
            break
        behind = min(open_ones, key=lambda i: ((done[i] + costs[i] / 2) / datasets[i].share, i))
        done[behind] += costs[behind]
        taken[behind] += 1
    return taken
