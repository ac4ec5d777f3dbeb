"""Near-duplicate texts to clusters, end to end: ours beside Daft, rensa, text-dedup, datasketch and datatrove.

    python benchmarks/dedup_text.py [--documents 20000] [--runs 5] [--peers daft,rensa,datasketch] [--python PYTHON]

The input is one Parquet file of generated English-like documents, 1.85 KB in the mean, a fifth of which are copies of
an earlier one with 0, 1, 2 or 5 % of the words changed. Every contender runs in a process of its own, reads the file
and says which documents are copies; runs alternate, the median counts with its range. `wall` is the whole process with
its imports, `steady` from the first byte read to the last cluster (a command line has its imports in both). Recall:
planted copies that are found, by share of words changed; wrong: documents that are dropped without having been planted.
All take word 5-grams (text-dedup and datatrove of their own words), 128 permutations and a threshold of .7.
Ours runs the build's own functions in two processes without Ray, whose start (3 s a build) is in none of the figures.
--python: the interpreter with the peers installed; what is not there is said and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CHANGED = (0.0, 0.01, 0.02, 0.05)  # of the words of a planted copy
WORDS = 20_000  # of the vocabulary, drawn by Zipf's law
PERMUTATIONS, NGRAM, THRESHOLD = 128, 5, 0.7
CPUS = 2
PIECE = 2_500  # documents that a process signs at a time


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


def shingles(text: str) -> list[str]:
    """Return the word 5-grams of a text as ours takes them; for the peers that ask for shingles."""
    from infimm_data.text import normal_form

    words = normal_form(text).split(" ")
    return [" ".join(words[at : at + NGRAM]) for at in range(max(1, len(words) - NGRAM + 1))]


def read_texts(path: str) -> list[str]:
    """Return the texts of the input."""
    return list(pq.read_table(path, columns=["text"]).column("text").to_pylist())


class Union:
    """Clusters by union-find, for the peers that end with pairs."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def root(self, at: int) -> int:
        while self.parent[at] != at:
            self.parent[at] = self.parent[self.parent[at]]
            at = self.parent[at]
        return at

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low

    def labels(self) -> list[int]:
        return [self.root(at) for at in range(len(self.parent))]


def _sign(given: tuple[str, int, int, str]) -> None:
    from filters.near_duplicate_text import NearDuplicateText
    from infimm_data.document import Document, TextNode
    from infimm_data.tables import measures_table, write_table

    path, start, size, out = given
    near = NearDuplicateText(threshold=THRESHOLD)
    texts = pq.ParquetFile(path).read_row_group(start // PIECE, columns=["text"]).column("text").to_pylist()
    rows = [{"s": near.signature(Document(id="", nodes=(TextNode(text=text),)))} for text in texts]
    write_table(out, measures_table({"id": list(map(str, range(start, start + size)))}, rows, ["s"]), fingerprint="")


def _call(given: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    return given[0](*given[1])


def infimm(path: str) -> list[int]:
    """Sign in pieces of 2,500 documents, then compare as the group pass does, in two processes."""
    import numpy as np

    from filters.near_duplicate_text import NearDuplicateText
    from pipelines.dedup.compare import compare, plan_for
    from pipelines.dedup.components import MEMBER
    from pipelines.dedup.segments import read_segments
    from pipelines.dedup.signatures import in_a_row

    total = pq.read_metadata(path).num_rows
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(CPUS) as pool:
        starts = range(0, total, PIECE)
        parts = [f"{folder}/{start}.parquet" for start in starts]
        given = [(path, start, min(PIECE, total - start), to) for start, to in zip(starts, parts, strict=True)]
        list(pool.map(_sign, given))
        plan = plan_for(
            NearDuplicateText(threshold=THRESHOLD), in_a_row([("made", part, "s") for part in parts]), 2 * 10**9, CPUS
        )

        def stage(name: str, function: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
            return list(pool.map(_call, [(function, arguments) for arguments in given]))

        found = read_segments(compare(plan, f"{folder}/shuffle", stage), MEMBER, 0, plan.blocks)
        labels = np.arange(total)
        labels[found["member"]] = found["root"]
    return [int(label) for label in labels]


def rensa(path: str) -> list[int]:
    """R-MinHash with rensa's own LSH index, checked by its Jaccard estimate; one core, as it is."""
    from rensa import RMinHash, RMinHashLSH

    texts = read_texts(path)
    lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    union, signatures = Union(len(texts)), []
    for number, text in enumerate(texts):
        signature = RMinHash(num_perm=PERMUTATIONS, seed=42)
        signature.update(shingles(text))
        for other in lsh.query(signature):
            if signature.jaccard(signatures[other]) >= THRESHOLD - 0.07:
                union.join(number, other)
        lsh.insert(number, signature)
        signatures.append(signature)
    return union.labels()


def datasketch(path: str) -> list[int]:
    """MinHash and MinHashLSH of datasketch with xxh3 for its hash; one core, as it is."""
    import xxhash
    from datasketch import MinHash, MinHashLSH

    texts = read_texts(path)
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    union = Union(len(texts))
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=PERMUTATIONS, hashfunc=xxhash.xxh32_intdigest)
        signature.update_batch([one.encode() for one in shingles(text)])
        for other in lsh.query(signature):
            union.join(number, other)
        lsh.insert(number, signature)
    return union.labels()


def daft(path: str) -> list[int]:
    """Daft's text normalisation and MinHash in its engine, bands of 8 by its group-by, then union-find."""
    import daft as engine
    from daft import col

    rows = 8
    frame = engine.read_parquet(path).select("id", "text")
    text = col("text").normalize(remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True)
    frame = frame.select("id", text.minhash(num_hashes=PERMUTATIONS, ngram_size=NGRAM, seed=42).alias("signature"))
    table = frame.to_arrow()
    size = table.num_rows
    import numpy as np

    matrix = np.asarray(table.column("signature").combine_chunks().flatten()).reshape(size, PERMUTATIONS)
    ids = table.column("id").to_pylist()
    union = Union(size)
    for band in range(PERMUTATIONS // rows):
        some = np.ascontiguousarray(matrix[:, band * rows : (band + 1) * rows]).view(f"V{4 * rows}").ravel()
        bands = engine.from_arrow(pa.table({"key": [one.tobytes() for one in some], "id": ids}))
        groups = bands.groupby("key").list_agg("id").to_pydict()["id"]
        for members in groups:
            for other in members[1:]:
                union.join(members[0], other)
    return union.labels()


def text_dedup(path: str) -> list[int]:
    """text-dedup's command line; it says which rows stay, so a copy's cluster is not told."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(
                sys.executable,
                "-m",
                "text_dedup.minhash",
                "--path",
                "parquet",
                "--data_files",
                path,
                "--split",
                "train",
            ),
            *("--column", "text", "--output", f"{folder}/out", "--cache_dir", f"{folder}/cache", "--ngram"),
            *(str(NGRAM), "--num_perm", str(PERMUTATIONS), "--threshold", str(THRESHOLD), "--num_proc", str(CPUS)),
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_DATASETS_OFFLINE": "1"})
        import datasets

        kept = set(datasets.load_from_disk(f"{folder}/out")["id"])
    size = pq.read_metadata(path).num_rows
    return [at if at in kept else -1 for at in range(size)]


def datatrove(path: str) -> list[int]:
    """Run datatrove's four stages with two workers; it says which documents stay."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.dedup import MinhashDedupSignature as Signature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    hashes = HashConfig(hash_fc="sha1", precision=64)  # its default fails beside xxhash 4, which refuses texts
    config = MinhashConfig(n_grams=NGRAM, num_buckets=16, hashes_per_bucket=8, hash_config=hashes)
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/in"
        os.makedirs(source)
        table = pq.read_table(path, columns=["id", "text"])
        for part in range(CPUS):
            here = table.slice(part * len(table) // CPUS, (part + 1) * len(table) // CPUS - part * len(table) // CPUS)
            pq.write_table(here.set_column(0, "id", here.column("id").cast(pa.string())), f"{source}/{part}.parquet")
        kept = f"{folder}/kept"
        writer = JsonlWriter(kept, compression=None)
        stages: list[tuple[int, list[Any]]] = [
            (CPUS, [ParquetReader(source), Signature(output_folder=f"{folder}/signatures", config=config)]),
            (16, [MinhashDedupBuckets(f"{folder}/signatures", output_folder=f"{folder}/buckets", config=config)]),
            (1, [MinhashDedupCluster(f"{folder}/buckets", output_folder=f"{folder}/remove", config=config)]),
            (CPUS, [ParquetReader(source), MinhashDedupFilter(f"{folder}/remove"), writer]),
        ]
        for number, (tasks, pipeline) in enumerate(stages):
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=CPUS, logging_dir=f"{folder}/log{number}").run()
        lines = [line for file in Path(kept).glob("*.jsonl") for line in file.read_text().splitlines()]
    ids = {int(json.loads(line)["id"]) for line in lines}
    return [at if at in ids else -1 for at in range(pq.read_metadata(path).num_rows)]


CONTENDERS: dict[str, Callable[[str], list[int]]] = {
    "infimm": infimm, "daft": daft, "rensa": rensa, "text-dedup": text_dedup, "datasketch": datasketch,
    "datatrove": datatrove,
}  # fmt: skip


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


PRELOADED = {
    "infimm": ("rensa", "filters.near_duplicate_text", "pipelines.dedup.compare"),
    "daft": ("daft",), "rensa": ("rensa", "infimm_data.text"), "datasketch": ("datasketch", "infimm_data.text"),
}  # fmt: skip


def run_one(name: str, path: str) -> None:
    """Run a contender here, and print what it took as JSON."""
    for module in PRELOADED.get(name, ()):
        importlib.import_module(module)
    start = time.perf_counter()
    labels = CONTENDERS[name](path)
    print(json.dumps({"steady": time.perf_counter() - start, **quality(path, labels)}))


def measure(name: str, path: str, python: str) -> dict[str, Any] | str:
    """Return what one run of a contender took, or why it did not run."""
    start = time.perf_counter()
    command = [python, __file__, "--one", name, "--input", path]
    interpreter = sys.executable if name == "infimm" else python
    done = subprocess.run([interpreter, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    return {"wall": time.perf_counter() - start, **json.loads(done.stdout.strip().splitlines()[-1])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", default=",".join(name for name in CONTENDERS if name != "infimm"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--input", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.input)
        return
    names = ["infimm", *filter(None, arguments.peers.split(","))]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/input.parquet"
        write_input(path, arguments.documents)
        texts = read_texts(path)
        print(f"{len(texts)} documents, {sum(map(len, texts)) / 1e6:.1f} MB of text, {CPUS} cores")
        results: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _ in range(arguments.runs):
            for name in list(names):
                result = measure(name, path, arguments.python)
                if isinstance(result, str):
                    print(f"{name}: does not run here: {result}")
                    names.remove(name)
                else:
                    results[name].append(result)
    for name, runs in results.items():
        speeds = {kind: sorted(len(texts) / run[kind] for run in runs) for kind in ("steady", "wall")}
        told = [f"{statistics.median(s):.0f} docs/s {kind} ({s[0]:.0f} to {s[-1]:.0f})" for kind, s in speeds.items()]
        recall = ", ".join(f"{share}: {value:.3f}" for share, value in runs[0]["recall"].items())
        print(f"{name}: {'; '.join(told)}; recall by words changed {recall}; wrong {runs[0]['wrong']}")


if __name__ == "__main__":
    main()
