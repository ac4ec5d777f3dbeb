"""Reading training documents: ours beside webdataset, MosaicML streaming, litData and Energon, the same documents.

    python benchmarks/loader.py [--documents 3000] [--runs 5] [--workers 0] [--readers ours,webdataset] [--keep FOLDER]

Makes documents of one to six JPEG files of about 26 kB, writes our shards and converts them to each peer's format.
Modes: raw (JSON parsed, bytes of all images), decode (each image to 224 x 224 RGB, bicubic, the same function for
all), usual (the same pixels within a level or two, the peers by Pillow alone, as their examples have it), stream (ours
alone: tokenised, packed into rows of 2,048 tokens, decoded, collated). decode and usual stop after 1,000 documents.
Every run is a process of its own, and runs alternate; medians and spread are printed. `first` ends with the eighth
document (stream: the first batch of 8 rows). It is counted from where a reader opens its data, after imports (and the
tokenizer), in seconds and CPU seconds; for ours from the start of the process, too. A peer that is not installed, or
fails, is named. On a machine with other work the figures per CPU second are the steadier ones; `--workers` above 0
gives none.
Limits: page cache warm; peers' workers are processes, ours are threads; their random content compresses like noise.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from loader_readers import READERS, convert, parse, prepare_imports
from PIL import Image

from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.images import decode_rgb
from infimm_data.shards import Sample, write_manifest, write_shard
from infimm_data.stream.images import to_pixels
from infimm_data.stream.tokens import Vocabulary

SIDE, PER_SHARD, FIRST = 224, 500, 8
PICTURES = 300  # different JPEG files, used again and again
TIMEOUT_S = 300
LIMITS = {"decode": 1000, "usual": 1000}  # documents
PACKAGES = {"ours": "torch", "energon": "megatron.energon"}


def pictures(rng: np.random.Generator) -> list[bytes]:
    """Return JPEG files of photographs' sizes, about 26 kB each: smooth noise, which compresses like them."""
    found = []
    for _ in range(PICTURES):
        width, height = (int(side) for side in rng.integers(280, 520, 2))
        small = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=70)
        found.append(buffer.getvalue())
    return found


def make_shards(folder: str, documents: int) -> None:
    """Write our shards of made documents."""
    rng, files = random.Random(0), pictures(np.random.default_rng(0))

    def sample(number: int) -> Sample:
        own = {f"{n}.jpg": rng.choice(files) for n in range(rng.randint(1, 6))}
        nodes: list[TextNode | ImageNode] = []
        for name in own:
            nodes += [TextNode(text="words of a page " * 40), ImageNode(url=f"http://a.example/{name}", file=name)]
        return Sample(new_document(tuple(nodes), Origin(dump="made", offset=number)), own)

    starts = range(0, documents, PER_SHARD)
    infos = [
        write_shard(folder, n, (sample(start + i) for i in range(min(PER_SHARD, documents - start))))
        for n, start in enumerate(starts)
    ]
    write_manifest(folder, infos)


def raw(document: bytes | dict[str, Any], images: list[bytes]) -> int:
    """Parse the JSON; the images are bytes already."""
    parse(document)
    return len(images)


def decode(document: bytes | dict[str, Any], images: list[bytes]) -> int:
    """Parse the JSON and make pixels of all images."""
    parse(document)
    for data in images:
        to_pixels(decode_rgb(bytes(data), max_pixels=10_000_000), SIDE)
    return len(images)


def by_pillow(document: bytes | dict[str, Any], images: list[bytes]) -> int:
    """Parse the JSON and make pixels of all images by CLIP's transform on Pillow, as torchvision runs it."""
    parse(document)
    for data in images:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        width, height = (int(SIDE * side / min(image.size)) for side in image.size)
        left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        cropped = resized.crop((left, top, left + SIDE, top + SIDE))
        np.ascontiguousarray(np.asarray(cropped).transpose(2, 0, 1))
    return len(images)


def stream(folder: str, workers: int, vocabulary: Vocabulary) -> Iterator[int]:
    """Yield the images of each batch of our whole stream, until an epoch is over."""
    from infimm_data.stream.settings import StreamSettings
    from infimm_data.stream.stream import Stream

    settings = StreamSettings(row_tokens=2048, epochs=1)
    with Stream(folder, vocabulary, settings, image_side=SIDE, rows=8, workers=workers or 1) as batches:
        for batch in batches:
            yield len(batch.images)


def counts(reader: str, mode: str, folder: str, workers: int) -> Iterator[int]:
    """Prepare what a run needs; return the images of each document (stream: batch), read as they are taken."""
    prepare_imports(reader)
    if mode == "stream":
        from model.tokenizer import load_tokenizer

        return stream(folder, workers, load_tokenizer("package:pipelines.demo/data/tokenizer").vocabulary)
    use = raw if mode == "raw" else by_pillow if mode == "usual" and reader != "ours" else decode
    return itertools.islice(READERS[reader](folder, workers, use), LIMITS.get(mode))


def child(reader: str, mode: str, folder: str, workers: int, launched: float) -> None:
    """Measure one run and print it as JSON. launched: the monotonic clock of all processes when it was."""
    import torch

    torch.set_num_threads(1)
    numbers = counts(reader, mode, folder, workers)
    start, began = time.monotonic(), time.process_time()
    firsts: dict[str, float] = {}
    documents, images = 0, 0
    for count in numbers:
        documents += 1
        images += count
        if documents == (1 if mode == "stream" else FIRST):
            now, used = time.monotonic(), time.process_time()
            firsts = {"first": now - start, "first_cpu": used - began, "launch": now - launched, "launch_cpu": used}
    seconds, cpu = time.monotonic() - start, time.process_time() - began
    print(json.dumps({"seconds": seconds, "cpu": cpu, "documents": documents, "images": images, **firsts}))
    sys.stdout.flush()
    os._exit(0)  # threads and shared memory of some peers outlive their loader


def measure(reader: str, mode: str, folder: str, workers: int) -> dict[str, float] | str:
    """Run a child; return what it measured, or why there is nothing."""
    command = [sys.executable, __file__, "--child", reader, mode, folder, "--workers", str(workers)]
    command += ["--launched", str(time.monotonic())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"not done after {TIMEOUT_S} s"
    try:
        found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return (done.stderr.strip().splitlines() or ["no output"])[-1][:160]
    return found


def spread(values: list[float], form: str) -> str:
    """Return median and range."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def report(mode: str, workers: int, results: dict[str, list[dict[str, float] | str]], documents: int) -> None:
    """Print one table: medians and ranges over the runs."""
    print(f"\n{mode}, {workers} workers, load {os.getloadavg()[0]:.1f}")
    things = "documents" if mode == "raw" else "images"
    for reader, runs in results.items():
        good = [run for run in runs if not isinstance(run, str)]
        if not good:
            print(f"{reader:<12} {runs[0] if runs else 'not run'}")
            continue
        line = f"{reader:<12} {spread([run[things] / run['seconds'] for run in good], '.0f')} {things}/s"
        if workers == 0:
            line += f"; {spread([run[things] / run['cpu'] for run in good], '.0f')} per CPU s"
        kinds = (("first", "first"), ("launch", "from the process's start"))
        for name, said in kinds if reader == "ours" else kinds[:1]:
            times = (spread([run[key] for run in good], ".2f") for key in (name, f"{name}_cpu"))
            line += "; {} {} s, {} CPU s".format(said, *times)
        if mode != "stream" and good[0]["documents"] != min(documents, LIMITS.get(mode, documents)):
            line += f"; {good[0]['documents']:.0f} documents"
        print(line)


def main() -> None:
    """Make the data, measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--modes", default="raw,decode,usual,stream")
    parser.add_argument("--keep", help="folder for the data; used again when it is there")
    parser.add_argument("--child", nargs=3, metavar=("READER", "MODE", "FOLDER"))
    parser.add_argument("--launched", type=float)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child, workers=arguments.workers, launched=arguments.launched)
    readers = arguments.readers.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or temporary
        if not Path(folder, "manifest.json").exists():
            make_shards(folder, arguments.documents)
        documents = json.loads(Path(folder, "manifest.json").read_text())["shards"]
        total = sum(shard["num_documents"] for shard in documents)
        print(f"{total} documents, {sum(s['num_images'] for s in documents)} images, "
              f"{sum(s['size_bytes'] for s in documents) / 1e6:.0f} MB; {os.cpu_count()} cores")  # fmt: skip
        broken: dict[str, str] = {}
        for reader in readers:
            try:
                found = importlib.util.find_spec(PACKAGES.get(reader, reader))
            except ModuleNotFoundError:
                found = None
            if found is None:
                broken[reader] = "not installed"
            elif not Path(folder, {"streaming": "mds"}.get(reader, reader)).exists():
                prepare_imports(reader)
                convert(folder, reader)
        for mode in arguments.modes.split(","):
            some = [reader for reader in readers if mode != "stream" or reader == "ours"]
            results: dict[str, list[dict[str, float] | str]] = {r: [broken[r]] if r in broken else [] for r in some}
            for _ in range(arguments.runs):
                for reader in (r for r in some if r not in broken):
                    results[reader].append(measure(reader, mode, folder, arguments.workers))
            report(mode, arguments.workers, results, total)


if __name__ == "__main__":
    main()
