"""Fetching images: our engine, img2dataset's download function behind our guards, and img2dataset's command line.

    python benchmarks/fetch.py [--images 3000] [--width 640] [--height 480] [--runs 5]

The same JPEGs come from one server process on the loopback address. Every contender runs in a process of its own
and stores the files in a tar, with size and SHA-256 of each; ours also decodes each file to prove it and hashes it
perceptually, and img2dataset's default resizes and encodes again. Runs alternate; the medians count. `wall` is the
whole process, imports included; `steady` the fetching alone, as each says itself. Our two run without Ray, whose
start (about 3 s per build) is not in them. Limits: server and client share the cores; no name is resolved.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from infimm_data.tables import read_metadata
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import fetch_all
from pipelines.layout import Layout
from pipelines.passes.fetch import fetch_item
from pipelines.sources.contract import WorkItem

DISTINCT = 64  # pictures, served under as many URLs as are asked for
AT_ONCE = 64  # requests, for all; img2dataset's own default is 256 threads
ENGINES = ("infimm", "img2dataset")
PEERS = {  # what is added to img2dataset's command line
    "img2dataset, stores raw": ["--disable_all_reencoding", "True"],
    "img2dataset, its default: resize to 256, encode": [],
}


@dataclass(frozen=True)
class Measured:
    """One run: seconds of the process, seconds of fetching, largest resident set of one process in MB."""

    wall_s: float
    steady_s: float
    rss_mb: float


def make_pictures(width: int, height: int) -> list[bytes]:
    """Return JPEGs of quality 90 that compress about as photos do: smooth shapes with some noise."""
    pictures = []
    for seed in range(DISTINCT):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 13, (height, width, 3))
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    return pictures


def serve(pictures: Sequence[bytes], ready: Any) -> None:
    """Serve /N.jpg for every N until the process is ended; puts the port into `ready`."""

    async def picture(request: web.Request) -> web.Response:
        return web.Response(body=pictures[int(request.match_info["n"]) % len(pictures)], content_type="image/jpeg")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{n}.jpg", picture)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def server(pictures: Sequence[bytes]) -> Iterator[int]:
    """Serve the pictures from a process of their own; gives the port."""
    ready: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(pictures, ready), daemon=True)
    process.start()
    try:
        yield ready.get(timeout=30)
    finally:
        process.terminate()
        process.join()


class Nothing:
    """A dump that holds no image itself."""

    def images(self, item: WorkItem, urls: Any) -> Iterator[tuple[str, bytes]]:
        """Yield nothing."""
        yield from ()


def fetch_ours(engine: str, list_file: str, out: str) -> None:
    """Run the fetch pass of one work item; print its seconds."""
    urls = Path(list_file).read_text().split()
    settings = FetchSettings(engine=engine, concurrency=AT_ONCE, per_host=AT_ONCE, allow_private_hosts=("127.0.0.1",))  # type: ignore[arg-type]
    item = WorkItem(index=0, name="urls", path=list_file, size_bytes=0)
    list(fetch_all([], settings))  # loads the engine, which happens once per worker
    start = time.perf_counter()
    fetch_item(Nothing(), item, Layout(out), settings, {}, urls, "benchmark")  # type: ignore[arg-type]
    print(json.dumps({"steady_s": time.perf_counter() - start}))


def timed(command: Sequence[str]) -> tuple[float, float, str]:
    """Run a process; return its seconds, the largest resident set among it and its children in MB, its output."""
    start = time.perf_counter()
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": os.getcwd()}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said}")
    return wall, usage.ru_maxrss / 1024, said


def run_ours(engine: str, list_file: str, out: str, count: int) -> Measured:
    """Measure one of our engines; its images are counted."""
    wall, rss, said = timed([sys.executable, __file__, "--fetch", engine, list_file, out])
    assert read_metadata(Layout(out).images(0))[1] == {"ok": count}
    return Measured(wall, json.loads(said.splitlines()[-1])["steady_s"], rss)


def run_peer(options: Sequence[str], list_file: str, out: str, count: int) -> Measured:
    """Measure img2dataset's command line; its images are counted."""
    given = ["--url_list", list_file, "--output_folder", out, "--output_format", "webdataset"]
    same = ["--processes_count", "1", "--thread_count", str(AT_ONCE), "--number_sample_per_shard", str(count)]
    code = "from img2dataset.main import main; main()"
    wall, rss, _ = timed([sys.executable, "-c", code, *given, *same, *options])
    stats = json.loads(next(Path(out).glob("*_stats.json")).read_text())
    assert stats["successes"] == count, stats
    return Measured(wall, stats["end_time"] - stats["start_time"], rss)


def measure(arguments: argparse.Namespace, port: int) -> dict[str, list[Measured]]:
    """Run every contender `arguments.runs` times in turn."""
    count = arguments.images
    names = [f"engine: {engine}" for engine in ENGINES]
    found: dict[str, list[Measured]] = {name: [] for name in (*names, *PEERS)}
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            list_file = f"{folder}/urls.txt"
            Path(list_file).write_text("".join(f"http://127.0.0.1:{port}/{n}.jpg\n" for n in range(count)))
            for name, engine in zip(names, ENGINES, strict=True):
                found[name].append(run_ours(engine, list_file, f"{folder}/{engine}", count))
            for number, (name, options) in enumerate(PEERS.items()):
                found[name].append(run_peer(options, list_file, f"{folder}/peer{number}", count))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--fetch", nargs=3, metavar=("ENGINE", "LIST", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch_ours(*arguments.fetch)
        return
    try:
        peer = version("img2dataset")
    except PackageNotFoundError:
        raise SystemExit("img2dataset is not installed: pip install --no-deps img2dataset==1.47.0") from None
    pictures = make_pictures(arguments.width, arguments.height)
    mean = statistics.mean(map(len, pictures)) / 1000
    with server(pictures) as port:
        found = measure(arguments, port)
    print(
        f"{arguments.images} JPEGs {arguments.width} x {arguments.height}, {mean:.0f} KB; img2dataset {peer};", end=" "
    )
    print(f"{AT_ONCE} at once; {os.cpu_count()} cores; {arguments.runs} runs: median (lowest to highest)")
    for name, runs in found.items():
        rates = [
            sorted(arguments.images / seconds for seconds in seconds_of)
            for seconds_of in ([run.wall_s for run in runs], [run.steady_s for run in runs])
        ]
        shown = [f"{statistics.median(rate):>6.0f} ({rate[0]:.0f} to {rate[-1]:.0f})" for rate in rates]
        rss = statistics.median(run.rss_mb for run in runs)
        print(f"{name:<48} wall {shown[0]:<22} steady {shown[1]:<22} images/s   {rss:.0f} MB")


if __name__ == "__main__":
    main()
