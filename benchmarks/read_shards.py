"""Reading shards: ours by index in a seeded order, beside webdataset in tar order and with its shuffle buffer.

    python benchmarks/read_shards.py [--documents 3000] [--runs 5]

Makes the shards first: documents of one to six JPEG-sized random images, as anchors of interleaved sets have. Every
reader parses the JSON and hands over the image bytes; nothing is decoded. Runs alternate; the medians count.
Limit: one process, page cache warm.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import webdataset

from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.shards import Sample, read_index, read_manifest, read_sample, write_manifest, write_shard

IMAGE_BYTES = 26_000  # mean size of the images that the peers were measured with


def make_shards(folder: str, documents: int, per_shard: int = 500) -> None:
    """Write shards of `documents` made samples."""
    rng = random.Random(0)

    def sample(number: int) -> Sample:
        count = rng.randint(1, 6)
        files = {f"{n}.jpg": rng.randbytes(rng.randint(IMAGE_BYTES // 2, 3 * IMAGE_BYTES // 2)) for n in range(count)}
        nodes: list[TextNode | ImageNode] = []
        for name in files:
            nodes += [TextNode(text="words of a page " * 40), ImageNode(url=f"http://a.example/{name}", file=name)]
        return Sample(new_document(tuple(nodes), Origin(dump="made", offset=number)), files)

    starts = range(0, documents, per_shard)
    infos = [
        write_shard(folder, n, (sample(start + i) for i in range(min(per_shard, documents - start))))
        for n, start in enumerate(starts)
    ]
    write_manifest(folder, infos)


def ours(folder: str) -> Iterator[int]:
    """Yield the number of images of each document, read by its place in the index."""
    locations = [place for shard in read_manifest(folder) for place in read_index(folder, shard)]
    random.Random(1).shuffle(locations)
    for place in locations:
        yield len(read_sample(folder, place).files)


def peer(folder: str, *, shuffled: bool) -> Iterator[int]:
    """Yield the number of images of each document, as webdataset streams them."""
    paths = [f"{folder}/{shard.name}" for shard in read_manifest(folder)]
    dataset = webdataset.WebDataset(paths, shardshuffle=len(paths) if shuffled else False, seed=1)
    for sample in dataset.shuffle(500) if shuffled else dataset:
        yield len(json.loads(sample["json"])["nodes"]) // 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    readers: dict[str, Callable[[str], Iterator[int]]] = {
        "ours, seeded global shuffle": ours,
        "webdataset, no shuffle": lambda folder: peer(folder, shuffled=False),
        "webdataset, shards and 500 samples shuffled": lambda folder: peer(folder, shuffled=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        make_shards(folder, arguments.documents)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.tar"))
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(arguments.runs):
            for name, reader in readers.items():
                start = time.perf_counter()
                images = list(reader(folder))
                rates[name].append(len(images) / (time.perf_counter() - start))
                assert len(images) == arguments.documents, name
    print(f"{arguments.documents} documents, {size / 1e6:.0f} MB; documents/s over {arguments.runs} runs")
    for name, found in rates.items():
        print(f"{name:<46} median {statistics.median(found):>8.0f}   {min(found):.0f} to {max(found):.0f}")


if __name__ == "__main__":
    main()
