"""The contenders of `dedup_text.py`: ours, Daft, rensa, text-dedup, datasketch and datatrove, each in its own way.

A contender is (path of the input) -> a cluster label for every document, in their order. Of equal labels one document
stays; -1 is a document that goes and whose cluster the tool does not tell. All take word 5-grams (text-dedup and
datatrove of their own words), 128 permutations and a threshold of .7.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PERMUTATIONS, NGRAM, THRESHOLD = 128, 5, 0.7
CPUS = 2
PIECE = 2_500  # documents that a process signs at a time; row groups of the input


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
PRELOADED = {  # what is imported before `steady` begins
    "infimm": ("rensa", "filters.near_duplicate_text", "pipelines.dedup.compare"),
    "daft": ("daft",), "rensa": ("rensa", "infimm_data.text"), "datasketch": ("datasketch", "infimm_data.text"),
}  # fmt: skip
