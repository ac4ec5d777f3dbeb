"""Near-duplicate texts to clusters, end to end: ours beside Daft, rensa, text-dedup, datasketch and datatrove.

    python benchmarks/dedup_text.py [--documents 20000] [--runs 5] [--peers daft,rensa] [--peer-python PYTHON]

The input is one Parquet file of generated English-like documents, 1.85 KB in the mean, a fifth of which are copies of
an earlier one with 0, 1, 2 or 5 % of the words changed. Every contender runs in a process of its own, reads the file
and says which documents are copies. `wall` is the whole process with its imports, `steady` from the first byte read to
the last cluster (a command line has its imports in both). Recall: planted copies that are found, by share of words
changed; wrong: documents that are dropped without having been planted. What each does: `dedup_text_contenders.py`.
Ours runs the build's own functions in two processes without Ray, whose start (3 s a build) is in none of the figures.
The peers: a virtual environment with pip install daft rensa datasketch xxhash text-dedup 'datatrove[multilingual]'
tokenizers (which datatrove imports without asking for it); what is not there is said and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from alternating import add_flags, call, heading, in_turn, spread
from dedup_text_contenders import CONTENDERS, CPUS, PIECE, PRELOADED, read_texts

CHANGED = (0.0, 0.01, 0.02, 0.05)  # of the words of a planted copy
WORDS = 20_000  # of the vocabulary, drawn by Zipf's law
PACKAGES = ("daft", "rensa", "datasketch", "text-dedup", "datatrove")


def write_input(path: str, documents: int) -> None:
    """Write `documents` texts, every fifth a planted copy: columns id, text, origin (-1 where it is none), changed."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(rng.choices(letters, range(26, 0, -1), k=rng.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / (rank + 3) for rank in range(WORDS)]
    texts: list[str] = []
    rows: dict[str, list[Any]] = {"id": [], "text": [], "origin": [], "changed": []}
    for number in range(documents):
        is_copy = number % 5 == 4
        origin = rng.randrange((number + 1) // 5) * 5 if is_copy else -1
        share = rng.choice(CHANGED) if is_copy else 0.0
        if is_copy:
            words = texts[origin].split(" ")
            for at in rng.sample(range(len(words)), round(share * len(words))):
                words[at] = rng.choice(vocabulary)
        else:
            words = rng.choices(vocabulary, weights, k=rng.randint(100, 540))
        texts.append(" ".join(words))
        for name, value in (("id", number), ("text", texts[-1]), ("origin", origin), ("changed", share)):
            rows[name].append(value)
    pq.write_table(pa.table(rows), path, row_group_size=PIECE)


def quality(path: str, labels: Sequence[int]) -> dict[str, Any]:
    """Return recall by the share of words changed, and how many documents fall that were not planted.

    A cluster keeps one document; of an original and its copies all but one should go.
    """
    table = pq.read_table(path, columns=["origin", "changed"]).to_pydict()
    seen: set[int] = set()
    gone = []
    for label in labels:
        gone.append(label == -1 or label in seen)
        seen.add(label)
    family = [origin if origin >= 0 else at for at, origin in enumerate(table["origin"])]
    found: dict[float, list[bool]] = defaultdict(list)
    fallen: dict[int, int] = defaultdict(int)
    for one, is_gone in zip(family, gone, strict=True):
        fallen[one] += is_gone
    sizes: dict[int, int] = defaultdict(int)
    for one in family:
        sizes[one] += 1
    wrong = sum(max(0, fallen[one] - (size - 1)) for one, size in sizes.items())
    for at, origin in enumerate(table["origin"]):
        if origin >= 0:  # with -1 a tool may drop the original instead of its copy
            found[table["changed"][at]].append(gone[at] or (-1 in labels and gone[origin]))
    return {"recall": {share: sum(hits) / len(hits) for share, hits in sorted(found.items())}, "wrong": wrong}


def run_one(name: str, path: str) -> None:
    """Run a contender here, and print what it took as JSON."""
    for module in PRELOADED.get(name, ()):
        importlib.import_module(module)
    start = time.perf_counter()
    labels = CONTENDERS[name](path)
    print(json.dumps({"steady": time.perf_counter() - start, **quality(path, labels)}))


def measure(name: str, path: str, python: str) -> dict[str, Any]:
    """Return what one run of a contender took; raises DoesNotRunError."""
    start = time.perf_counter()
    interpreter = sys.executable if name == "infimm" else python
    found = call([interpreter, __file__, "--one", name, "--input", path])
    return {"wall": time.perf_counter() - start, **found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--peers", default=",".join(name for name in CONTENDERS if name != "infimm"))
    add_flags(parser)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--input", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.input)
        return
    names = ["infimm", *filter(None, arguments.peers.split(","))]
    print(heading(arguments.peer_python, PACKAGES, arguments.runs))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/input.parquet"
        write_input(path, arguments.documents)
        texts = read_texts(path)
        print(f"{len(texts)} documents, {sum(map(len, texts)) / 1e6:.1f} MB of text, {CPUS} cores; documents/s")
        found = in_turn({name: partial(measure, name, path, arguments.peer_python) for name in names}, arguments.runs)
    for name, runs in found.items():
        told = [f"{kind} {spread([len(texts) / run[kind] for run in runs])}" for kind in ("steady", "wall")]
        recall = ", ".join(f"{share}: {value:.3f}" for share, value in runs[0]["recall"].items())
        print(f"{name:<10} {'; '.join(told)}; recall by words changed {recall}; wrong {runs[0]['wrong']}")


if __name__ == "__main__":
    main()
