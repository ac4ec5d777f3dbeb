"""Train a head over stored CLIP vectors: `python -m filters.weights.train_head VECTORS... --labels FILE --out FILE`.

    python -m filters.weights.train_head OUT/scores/clip_score/*.parquet --labels labels.csv \
        --clip "ViT-L-14 openai" --out watermark.safetensors

VECTORS: Parquet as a build stores them (`id`, `node`, `embedding`), with labels in a CSV file `id,node,label`; or one
`.npy` matrix [N, D], with labels in another [N], as clip-retrieval writes and LAION trains from. Labels 0 and 1 train
a probability, `--output value` a number (an aesthetic score). Writes safetensors that `image_heads` reads, and its
card beside it (.json): data, settings, and what it is worth on held-out images.

By a hash of the document (without one: of the vector) three fifths train, one fifth chooses the penalty and calibrates,
one fifth is held out and never looked at before the end. A linear head is the exact minimum of its penalised loss; with
`--hidden` it starts from seeded weights and stops where the calibration fifth is best. One thread: same input on the
same machine, same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from safetensors.numpy import save

from filters.models.heads import METADATA, load_head
from filters.weights.fit_head import Weights, fit_linear, fit_network, platt, standardised
from filters.weights.head_metrics import binary_metrics, value_metrics
from infimm_data.errors import ConfigError

Output = Literal["probability", "value"]
Array = npt.NDArray[np.float64]
FIFTHS = 5
MIN_PER_CLASS = 10  # of each label in each part; fewer say nothing about a threshold

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examples:
    """vectors: [N, D] of length 1; labels: [N]; parts: [N], 0 to 2 train, 3 calibrates, 4 is held out."""

    vectors: Array
    labels: Array
    parts: npt.NDArray[np.int64]

    def part(self, *numbers: int) -> tuple[Array, Array]:
        """Return vectors and labels of some parts."""
        rows = np.isin(self.parts, numbers)
        return self.vectors[rows], self.labels[rows]


def read_examples(paths: Sequence[Path], labels: Path) -> Examples:
    """Return the labelled vectors, in an order that does not depend on that of the files' rows.

    Raises ConfigError when a file cannot be read or holds something else, or no label meets a vector.
    """
    vectors, values, keys = _of_arrays(paths, labels) if labels.suffix == ".npy" else _of_tables(paths, labels)
    if not np.isfinite(vectors).all() or not np.isfinite(values).all():
        raise ConfigError(f"{labels}: vectors and labels must be finite numbers")
    order = np.lexsort((values, *vectors.T[:1], keys))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    digests = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
    parts = np.array([int.from_bytes(digest, "big") % FIFTHS for digest in digests], dtype=np.int64)
    return Examples(unit[order], values[order], parts[order])


def _of_arrays(paths: Sequence[Path], labels: Path) -> tuple[Array, Array, list[str]]:
    if len(paths) != 1:
        raise ConfigError(f"{labels}: labels of one .npy matrix, but {len(paths)} files of vectors are given")
    vectors, values = _load_npy(paths[0]), _load_npy(labels).reshape(-1)
    if vectors.ndim != 2 or len(vectors) != len(values):
        raise ConfigError(f"{paths[0]}: shape {list(vectors.shape)} beside {len(values)} labels, expected [N, D] and N")
    return vectors, values, [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in vectors]


def _load_npy(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read as .npy ({error})") from None


def _of_tables(paths: Sequence[Path], labels: Path) -> tuple[Array, Array, list[str]]:
    try:
        table = pa.csv.read_csv(labels)
        known = dict(
            zip(
                zip(table.column("id").cast("string").to_pylist(), table.column("node").to_pylist(), strict=True),
                table.column("label").cast("float64").to_pylist(),
                strict=True,
            )
        )
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ConfigError(f"{labels}: expected a CSV file with the columns id,node,label ({error})") from None
    rows: list[Any] = []
    for path in paths:
        try:
            if not pq.read_metadata(path).num_rows:  # of a work item without images, it has keys alone
                continue
            stored = pq.read_table(path, columns=["id", "node", "embedding"])
        except (OSError, pa.ArrowException) as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: expected Parquet with id, node and embedding ({problem})") from None
        found = zip(*(stored.column(name).to_pylist() for name in ("id", "node")), strict=True)
        wanted = [at for at, key in enumerate(found) if known.get(key) is not None]
        rows += [
            row for row in stored.take(pa.array(wanted, type=pa.int64())).to_pylist() if row["embedding"] is not None
        ]
    if not rows:
        raise ConfigError(f"{labels}: none of its {len(known)} labels names an image that has a vector")
    if len({len(row["embedding"]) for row in rows}) != 1:
        raise ConfigError(f"{paths[0]}: vectors of different lengths; give files of one model")
    values = np.array([known[row["id"], row["node"]] for row in rows], dtype=np.float64)
    return np.array([row["embedding"] for row in rows], dtype=np.float64), values, [row["id"] for row in rows]


def train(examples: Examples, *, output: Output, hidden: Sequence[int], seed: int) -> Weights:
    """Return the weights of a head; raises ConfigError when a part has too few examples of a label."""
    if output == "probability":
        _check_classes(examples)
    (train_x, train_y), (tune_x, tune_y) = examples.part(0, 1, 2), examples.part(3)
    if min(len(train_x), len(tune_x)) < 2 * MIN_PER_CLASS:
        raise ConfigError(f"{len(examples.labels)} labelled images, expected at least {10 * MIN_PER_CLASS}")
    mean, variance = standardised(train_x)
    deviation = np.sqrt(variance) + 1e-10
    given = ((train_x - mean) / deviation, train_y), ((tune_x - mean) / deviation, tune_y)
    is_binary = output == "probability"
    layers = (
        fit_network(*given, is_binary=is_binary, hidden=hidden, seed=seed)
        if hidden
        else fit_linear(*given, is_binary=is_binary)
    )
    return Weights(mean, variance, platt(layers, given[1]) if is_binary else layers)


def _check_classes(examples: Examples) -> None:
    if not set(np.unique(examples.labels)) <= {0.0, 1.0}:
        found = ", ".join(map(str, np.unique(examples.labels)[:5]))
        raise ConfigError(f"labels {found}: expected 0 and 1; for other numbers give --output value")
    for part in range(FIFTHS):
        _, labels = examples.part(part)
        least = int(min((labels == 0).sum(), (labels == 1).sum()))
        if least < MIN_PER_CLASS:
            raise ConfigError(
                f"one fifth of the images has {least} of a label, expected at least {MIN_PER_CLASS}: label more of both"
            )


def write(weights: Weights, out: Path, *, output: Output, clip: str) -> None:
    """Write the head as `filters.models.heads` reads it, in float32."""
    named = {"norm.mean": weights.mean, "norm.variance": weights.variance}
    for number, (weight, bias) in enumerate(weights.layers, 1):
        named |= {f"linear_{number}.weight": weight, f"linear_{number}.bias": bias}
    data = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in named.items()}
    out.write_bytes(save(data, {METADATA: json.dumps({"output": output, "clip": clip}, sort_keys=True)}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure on the held-out fifth, write head and card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("vectors", type=Path, nargs="+", help="Parquet files of a build's scores, or one .npy")
    parser.add_argument("--labels", type=Path, required=True, help="CSV id,node,label, or .npy beside a .npy")
    parser.add_argument("--out", type=Path, required=True, help="the head to write, .safetensors")
    parser.add_argument("--clip", required=True, help='whose vectors these are: "ViT-L-14 openai"; "" for your own')
    parser.add_argument("--output", choices=["probability", "value"], default="probability")
    parser.add_argument("--hidden", type=int, nargs="*", default=[], help="sizes between, e.g. 64 512 256")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="", help="where the labels come from, for the card")
    options = parser.parse_args(arguments)
    examples = read_examples(sorted(options.vectors), options.labels)
    weights = train(examples, output=options.output, hidden=options.hidden, seed=options.seed)
    write(weights, options.out, output=options.output, clip=options.clip)
    vectors, labels = examples.part(FIFTHS - 1)
    found = load_head(str(options.out))(vectors)
    held_out = binary_metrics(found, labels) if options.output == "probability" else value_metrics(found, labels)
    sizes = {"train": len(examples.part(0, 1, 2)[1]), "calibrate": len(examples.part(3)[1]), "held_out": len(labels)}
    card = {
        "file": options.out.name,
        "sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "clip": options.clip,
        "output": options.output,
        "hidden": options.hidden,
        "seed": options.seed,
        "data": options.source,
        "images": sizes,
        "held_out": held_out,
    }
    options.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    logger.info("trained images=%d held_out=%s", len(examples.labels), json.dumps(held_out))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
