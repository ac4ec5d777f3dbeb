"""Perceptual hashes of images, and the search for near ones among them: ours beside imagededup and imagehash.

    python benchmarks/image_hash.py [--images 600] [--hashes 20000] [--runs 5] [--peer-python PYTHON]

Hashes: JPEGs of 640 x 480 (quality 90) in memory, decoded and hashed on one core. Ours is what the fetch pass does:
header, size check, decode at reduced scale, whole data proven, 64 bits. Search: so many 64-bit hashes, a fifth of them
within 10 bits of an earlier one; all pairs within 10 bits are asked for, and compared with a search of each with each.
Every contender runs in a process of its own, its imports not counted.
The peers: a virtual environment with pip install 'torch==2.13.0' imagededup imagehash; what is not there is said and
left out.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from alternating import add_flags, call, heading, in_turn, spread
from PIL import Image

from infimm_data.torchvision_ops import declare_torchvision_ops

DISTANCE = 10
CHUNK = 1_000  # rows of the search of each with each


def make_images(count: int) -> list[bytes]:
    """Return JPEGs with the spectrum of photographs: noise at every scale, the coarse ones strongest."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        picture = np.zeros((480, 640, 3))
        for side in (4, 16, 64, 240):
            noise = rng.uniform(0, 255, (side, side, 3)).astype(np.uint8)
            picture += np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)) / side**0.5
        picture = 255 * (picture - picture.min()) / (picture.max() - picture.min())
        file = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(file, "jpeg", quality=90)
        files.append(file.getvalue())
    return files


def make_hashes(count: int) -> npt.NDArray[np.uint64]:
    """Return hashes of which every fifth has up to 10 bits of an earlier one flipped."""
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    for at in range(4, count, 5):
        flips = rng.choice(64, int(rng.integers(0, DISTANCE + 1)), replace=False)
        hashes[at] = hashes[rng.integers(0, at)] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=0
        )
    return hashes


def hash_infimm(files: list[bytes]) -> None:
    """Inspect each file as the fetch pass does."""
    from infimm_data.images import inspect_image

    for data in files:
        inspect_image(data, max_pixels=10**8)


def hash_imagededup(files: list[bytes]) -> None:
    """Decode with Pillow, then imagededup's PHash, as it takes arrays."""
    from imagededup.methods import PHash

    method = PHash()
    for data in files:
        method.encode_image(image_array=np.asarray(Image.open(io.BytesIO(data))))


def hash_imagehash(files: list[bytes]) -> None:
    """Take imagehash's phash of what Pillow decodes."""
    import imagehash

    for data in files:
        imagehash.phash(Image.open(io.BytesIO(data)))


def search_infimm(hashes: npt.NDArray[np.uint64]) -> int:
    """Return how many pairs the exact search by blocks finds."""
    from infimm_data.hamming import near_pairs

    unique = np.unique(hashes)
    pairs = [np.sort(np.stack(pair), axis=0) for pair in near_pairs(unique, DISTANCE)]
    return len(np.unique(np.concatenate(pairs, axis=1), axis=1).T) if pairs else 0


def search_imagededup(hashes: npt.NDArray[np.uint64]) -> int:
    """Return how many pairs imagededup's own default search finds."""
    from imagededup.methods import PHash

    encodings = {str(at): f"{value:016x}" for at, value in enumerate(np.unique(hashes).tolist())}
    found = PHash(verbose=False).find_duplicates(encoding_map=encodings, max_distance_threshold=DISTANCE)
    return len({tuple(sorted((one, other))) for one, others in found.items() for other in others})


def all_pairs(hashes: npt.NDArray[np.uint64]) -> int:
    """Return how many pairs there are, each hash compared with each."""
    unique = np.unique(hashes)
    found = 0
    for at in range(0, len(unique), CHUNK):
        near = np.bitwise_count(unique[at : at + CHUNK, None] ^ unique[None, :]) <= DISTANCE
        found += int(np.triu(near, at + 1).sum())
    return found


HASHERS: dict[str, Callable[[list[bytes]], None]] = {
    "infimm": hash_infimm,
    "imagededup": hash_imagededup,
    "imagehash": hash_imagehash,
}
SEARCHES: dict[str, Callable[[npt.NDArray[np.uint64]], int]] = {
    "infimm": search_infimm,
    "imagededup": search_imagededup,
}
PRELOADED = {"infimm": "infimm_data.images", "imagededup": "imagededup.methods", "imagehash": "imagehash"}


def run_one(kind: str, name: str, count: int) -> None:
    """Run a contender here, its imports not counted, and print seconds and pairs as JSON."""
    if name == "imagededup":
        declare_torchvision_ops()  # it imports torchvision, which may be built for another torch
    importlib.import_module(PRELOADED[name])
    given = make_images(count) if kind == "hash" else make_hashes(count)
    start = time.perf_counter()
    found = (HASHERS if kind == "hash" else SEARCHES)[name](given)  # type: ignore[operator]
    print(json.dumps({"seconds": time.perf_counter() - start, "pairs": found}))


def compare(kind: str, names: list[str], count: int, arguments: argparse.Namespace) -> None:
    """Run the contenders in turn, and print a line for each."""
    given = [__file__, "--count", str(count), "--one", kind]
    python = {name: sys.executable if name == "infimm" else arguments.peer_python for name in names}
    found = in_turn({name: partial(call, [python[name], *given, name]) for name in names}, arguments.runs)
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        if kind == "hash":
            print(f"{name}: {spread([count / one for one in seconds])} images/s on one core")
        else:
            print(f"{name}: {count} hashes in {spread(seconds, 3)} s, {runs[0]['pairs']} pairs")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--hashes", type=int, default=20_000)
    add_flags(parser)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(*arguments.one, arguments.count)
        return
    print(heading(arguments.peer_python, ["imagededup", "imagehash"], arguments.runs))
    sizes = [len(data) for data in make_images(20)]
    print(f"{arguments.images} JPEGs of 640 x 480, {statistics.mean(sizes) / 1e3:.0f} KB each")
    compare("hash", list(HASHERS), arguments.images, arguments)
    print(f"{all_pairs(make_hashes(arguments.hashes))} pairs within {DISTANCE} bits by comparing each with each")
    compare("search", list(SEARCHES), arguments.hashes, arguments)


if __name__ == "__main__":
    main()
