"""The readers that `loader.py` compares: ours and four peers, each on its own format of the same documents, shuffled.

A reader is (folder, workers, use) -> results of `use` on every document once, in the shuffle that its project
recommends. `use` gets the JSON and the bytes of the images; it is the same function for all.
"""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from infimm_data.document import to_json
from infimm_data.shard_reads import ShardReads
from infimm_data.shards import read_index, read_manifest, read_sample
from infimm_data.stream.order import epoch_order, read_split

Use = Callable[[bytes | dict[str, Any], list[bytes]], int]
SEED = 1


def ours(folder: str, workers: int, use: Use) -> Iterator[int]:
    """Our shards: a seeded shuffle of all documents; workers are threads, as PIL decodes without the interpreter."""
    manifest = read_manifest(folder)
    index = read_split(folder, manifest, split="train", fraction=0.0)
    order = epoch_order(np.arange(len(index)), len(index), seed=SEED, name="", epoch=0)
    samples = ShardReads(folder, manifest).read([index.place(number) for number in order])
    if not workers:
        for sample in samples:
            yield use({}, list(sample.files.values()))  # the document is parsed already
        return
    with ThreadPoolExecutor(workers) as pool:
        while some := list(itertools.islice(samples, 64)):
            yield from pool.map(lambda sample: use({}, list(sample.files.values())), some)


def by_webdataset(folder: str, workers: int, use: Use) -> Iterator[int]:
    """The same tars; shards and a buffer of 500 samples shuffled."""
    import webdataset
    from torch.utils.data import DataLoader

    paths = sorted(str(path) for path in Path(folder).glob("*.tar"))
    dataset = webdataset.WebDataset(paths, shardshuffle=len(paths), seed=SEED).shuffle(500).map(_Member(use))
    yield from (
        dataset
        if not workers
        else itertools.chain.from_iterable(DataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=list))
    )


class _Member:
    """Uses a sample that is a dict of tar members; a class, as workers get it pickled."""

    def __init__(self, use: Use) -> None:
        self.use = use

    def __call__(self, sample: dict[str, Any]) -> int:
        return self.use(sample["json"], [value for name, value in sorted(sample.items()) if name.endswith(".jpg")])


def by_streaming(folder: str, workers: int, use: Use) -> Iterator[int]:
    """MosaicML streaming: MDS, py1e shuffle (its default)."""
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    class Dataset(StreamingDataset):
        def __getitem__(self, at: int) -> int:
            return _of_blob(super().__getitem__(at), use)

    dataset = Dataset(local=f"{folder}/mds", shuffle=True, shuffle_seed=SEED, batch_size=8)
    yield from (
        dataset
        if not workers
        else itertools.chain.from_iterable(DataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=list))
    )


def by_litdata(folder: str, workers: int, use: Use) -> Iterator[int]:
    """litData: its chunks, shuffled."""
    from litdata import StreamingDataLoader, StreamingDataset

    class Dataset(StreamingDataset):
        def __getitem__(self, at: Any) -> int:
            return _of_blob(super().__getitem__(at), use)

    dataset = Dataset(f"{folder}/litdata", shuffle=True, seed=SEED)
    yield from (
        dataset
        if not workers
        else itertools.chain.from_iterable(
            StreamingDataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=list)
        )
    )


def by_energon(folder: str, workers: int, use: Use) -> Iterator[int]:
    """Megatron-Energon: the same tars, indexed; slices of 100, a buffer of 500; no end, so cut after one pass."""
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        Sample,
        WorkerConfig,
        basic_sample_keys,
        edataclass,
        get_savable_loader,
        get_train_dataset,
        stateless,
    )  # fmt: skip

    @edataclass
    class Used(Sample):
        used: int

    @stateless
    def cook(sample: dict[str, Any]) -> Used:
        images = [value for name, value in sorted(sample.items()) if name.endswith("jpg")]
        return Used(**basic_sample_keys(sample), used=use(sample["json"], images))

    class Encoder(DefaultTaskEncoder):
        decoder = None
        cookers = (Cooker(cook),)

        def batch(self, samples: list[Used]) -> list[int]:
            return [sample.used for sample in samples]

    config = WorkerConfig(rank=0, world_size=1, num_workers=workers)
    dataset = get_train_dataset(
        f"{folder}/energon", worker_config=config, batch_size=8, shuffle_buffer_size=500, max_samples_per_sequence=100,
        task_encoder=Encoder(),
    )  # fmt: skip
    documents = sum(shard.num_documents for shard in read_manifest(folder))
    yield from itertools.islice(itertools.chain.from_iterable(get_savable_loader(dataset)), documents)


READERS: dict[str, Callable[[str, int, Use], Iterator[int]]] = {
    "ours": ours,
    "webdataset": by_webdataset,
    "streaming": by_streaming,
    "litdata": by_litdata,
    "energon": by_energon,
}


def blob(images: list[bytes]) -> bytes:
    """Return images as one value: formats with fixed columns hold no list of any length."""
    return struct.pack(f"<{len(images) + 1}I", len(images), *map(len, images)) + b"".join(images)


def _of_blob(row: dict[str, Any], use: Use) -> int:
    data = bytes(row["images"])
    (count,) = struct.unpack_from("<I", data)
    sizes, at, images = struct.unpack_from(f"<{count}I", data, 4), 4 + 4 * count, []
    for size in sizes:
        images.append(data[at : at + size])
        at += size
    return use(bytes(row["json"]), images)


def documents_of(folder: str) -> Iterator[dict[str, bytes]]:
    """Yield the documents of our shards as the peers' formats hold them."""
    for shard in read_manifest(folder):
        for place in read_index(folder, shard):
            sample = read_sample(folder, place)
            yield {"json": to_json(sample.document), "images": blob(list(sample.files.values()))}


def convert(folder: str, peer: str) -> None:
    """Write a peer's own format of our shards below `folder`."""
    if peer == "streaming":
        from streaming import MDSWriter

        with MDSWriter(out=f"{folder}/mds", columns={"json": "bytes", "images": "bytes"}) as writer:
            for document in documents_of(folder):
                writer.write(document)
    elif peer == "litdata":
        from litdata.streaming.writer import BinaryWriter

        Path(folder, "litdata").mkdir()
        writer = BinaryWriter(f"{folder}/litdata", chunk_bytes="64MB")
        for number, document in enumerate(documents_of(folder)):
            writer.add_item(number, document)
        writer.done()
        writer.merge()
    elif peer == "energon":
        target = Path(folder, "energon")
        target.mkdir()
        for path in Path(folder).glob("*.tar"):
            (target / path.name).symlink_to(path)
        command = [str(Path(sys.executable).parent / "energon"), "prepare", "--non-interactive", "--force-overwrite"]
        command += ["--sample-type", "CrudeWebdataset", "--split-ratio", "1,0,0", str(target)]
        subprocess.run(command, check=True, capture_output=True)


def parse(document: bytes | dict[str, Any]) -> None:
    """Parse the JSON of a document where its reader left it as bytes."""
    if isinstance(document, (bytes, bytearray, memoryview)):
        json.loads(bytes(document))


def prepare_imports(peer: str) -> None:
    """Import a peer before the clock starts; a CPU torch needs operators declared that torchvision's wheel lacks."""
    from infimm_data.torchvision_ops import declare_torchvision_ops

    warnings.simplefilter("ignore")
    declare_torchvision_ops()
    __import__({"ours": "infimm_data.stream.stream", "energon": "megatron.energon"}.get(peer, peer))
