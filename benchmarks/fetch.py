"""Fetching images: our fetch pass and img2dataset's command line, resized to 256 pixels and as they came.

    python benchmarks/fetch.py [--images 3000] [--width 640] [--height 480] [--runs 5] [--peer-python PYTHON]

The same JPEGs come from one server process on the loopback address, over connections that stay open. Every contender
runs in a process of its own and leaves a tar with size and SHA-256 of each image. Runs alternate; the medians count.
`wall` is the whole process, imports included; `steady` the fetching alone, as each says itself. Ours keeps all its
safety on (robots.txt, addresses, limits, opting out) and runs without Ray, whose start (about 3 s per build) is not
in it; img2dataset is given one process and two, and resizes in its default way. How much the server could serve is
measured with a bare socket and printed: contenders that come near it are limited by it. Server and client share the
cores; no name is resolved. `CPU` is the processor time of all a contender's processes per image, start included: it
is nearly the same on a busy machine, where the other figures are not.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from infimm_data.tables import read_metadata
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import fetch_all
from pipelines.image_files import fetch_item
from pipelines.layout import Layout
from pipelines.sources.contract import WorkItem

DISTINCT = 64  # pictures, served under as many URLs as are asked for
AT_ONCE = 64  # requests, for all; img2dataset's own default is 256 threads
RESIZE = {"size": 256, "mode": "border", "quality": 95}  # img2dataset's defaults
OURS: dict[str, dict[str, Any]] = {  # settings of the recipe's `fetch`
    "resize 256: ours": {"resize": RESIZE},
    "as it came: ours, check: pixels": {},
    "as it came: ours, check: header": {"check": "header"},
    "as it came: ours, engine: img2dataset": {"engine": "img2dataset"},
}
RAW = ["--disable_all_reencoding", "True"]
PEERS = {  # processes, and what is added to img2dataset's command line
    "resize 256: img2dataset, 1 process": (1, []),
    "resize 256: img2dataset, 2 processes": (2, []),
    "as it came: img2dataset, 1 process": (1, RAW),
    "as it came: img2dataset, 2 processes": (2, RAW),
}

ITEM = WorkItem(index=0, name="urls", path="", size_bytes=0)


@dataclass(frozen=True)
class Measured:
    """One run: seconds of the process, of fetching, of processors in all; largest resident set of a process in MB."""

    wall_s: float
    steady_s: float
    cpu_s: float
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


class Answering(asyncio.Protocol):
    """The least that HTTP/1.1 asks of a server: /N.jpg by N, 404 for the rest, many requests per connection."""

    answers: Sequence[bytes] = ()

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        self._transport, self._unread = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for request in requests:
            number = request.split(b" ", 2)[1][1:].removesuffix(b".jpg")
            missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            self._transport.write(self.answers[int(number) % len(self.answers)] if number.isdigit() else missing)


def as_answer(picture: bytes) -> bytes:
    """Return a picture with its HTTP head."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture


def serve(pictures: Sequence[bytes], ready: Any) -> None:
    """Serve /N.jpg for every N until the process is ended; puts the port into `ready`."""
    Answering.answers = [as_answer(picture) for picture in pictures]

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


def ceiling(pictures: Sequence[bytes], port: int, count: int = 3000) -> float:
    """Return the images/s that the server gives to a bare socket that does nothing with them."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connected:
        for number in range(count):
            connected.sendall(b"GET /%d.jpg HTTP/1.1\r\n\r\n" % number)
            left = len(as_answer(pictures[number % len(pictures)]))
            while left > 0:
                left -= len(connected.recv(1 << 18))
    return count / (time.perf_counter() - start)


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


def fetch_ours(given: str, list_file: str, out: str) -> None:
    """Run the fetch pass of one work item; print its seconds. given: JSON of settings."""
    urls = Path(list_file).read_text().split()
    same = {"concurrency": AT_ONCE, "per_host": AT_ONCE, "allow_private_hosts": ("127.0.0.1",)}
    settings = FetchSettings(**same, **json.loads(given))
    list(fetch_all([], settings))  # loads the engine, which happens once per worker
    start = time.perf_counter()
    fetch_item(Nothing(), ITEM, Layout(out), settings, {}, urls, "benchmark")  # type: ignore[arg-type]
    print(json.dumps({"steady_s": time.perf_counter() - start}))


def timed(command: Sequence[str]) -> tuple[float, float, float, str]:
    """Run a process; return its seconds, its processor seconds with its children's, its largest MB, its output."""
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
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said


def run_ours(settings: dict[str, Any], list_file: str, out: str, count: int) -> Measured:
    """Measure our fetch pass; its images are counted."""
    wall, cpu, rss, said = timed([sys.executable, __file__, "--fetch", json.dumps(settings), list_file, out])
    assert read_metadata(Layout(out).images(ITEM.key))[1] == {"ok": count}
    return Measured(wall, json.loads(said.splitlines()[-1])["steady_s"], cpu, rss)


def run_peer(python: str, processes: int, options: Sequence[str], list_file: str, out: str, count: int) -> Measured:
    """Measure img2dataset's command line; its images are counted."""
    given = ["--url_list", list_file, "--output_folder", out, "--output_format", "webdataset"]
    same = ["--processes_count", str(processes), "--thread_count", str(AT_ONCE)]
    shard = ["--number_sample_per_shard", str(-(-count // processes))]
    code = "from img2dataset.main import main; main()"
    wall, cpu, rss, _ = timed([python, "-c", code, *given, *same, *shard, *options])
    stats = [json.loads(path.read_text()) for path in Path(out).glob("*_stats.json")]
    assert sum(one["successes"] for one in stats) == count, stats
    return Measured(wall, max(one["end_time"] for one in stats) - min(one["start_time"] for one in stats), cpu, rss)


def measure(arguments: argparse.Namespace, port: int) -> dict[str, list[Measured]]:
    """Run every contender `arguments.runs` times in turn."""
    count = arguments.images
    found: dict[str, list[Measured]] = {name: [] for name in sorted([*OURS, *PEERS], reverse=True)}
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            list_file = f"{folder}/urls.txt"
            Path(list_file).write_text("".join(f"http://127.0.0.1:{port}/{n}.jpg\n" for n in range(count)))
            for number, (name, settings) in enumerate(OURS.items()):
                found[name].append(run_ours(settings, list_file, f"{folder}/ours{number}", count))
            for number, (name, (processes, options)) in enumerate(PEERS.items()):
                out = f"{folder}/peer{number}"
                found[name].append(run_peer(arguments.peer_python, processes, options, list_file, out, count))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable, help="of the environment that holds img2dataset")
    parser.add_argument("--fetch", nargs=3, metavar=("SETTINGS", "LIST", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch_ours(*arguments.fetch)
        return
    asked = [arguments.peer_python, "-c", "from importlib.metadata import version; print(version('img2dataset'))"]
    peer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if not peer:
        raise SystemExit(f"{arguments.peer_python} has no img2dataset: pip install --no-deps img2dataset==1.47.0")
    pictures = make_pictures(arguments.width, arguments.height)
    mean = statistics.mean(map(len, pictures)) / 1000
    with server(pictures) as port:
        most = ceiling(pictures, port)
        found = measure(arguments, port)
    print(
        f"{arguments.images} JPEGs {arguments.width} x {arguments.height}, {mean:.0f} KB; img2dataset {peer};", end=" "
    )
    print(f"{AT_ONCE} at once; {os.cpu_count()} cores; {arguments.runs} runs: median (lowest to highest)")
    print(f"{'the server, to a bare socket':<48} {most:>6.0f} images/s")
    for name, runs in found.items():
        rates = [
            sorted(arguments.images / seconds for seconds in seconds_of)
            for seconds_of in ([run.wall_s for run in runs], [run.steady_s for run in runs])
        ]
        shown = [f"{statistics.median(rate):>6.0f} ({rate[0]:.0f} to {rate[-1]:.0f})" for rate in rates]
        cpu = 1000 * statistics.median(run.cpu_s for run in runs) / arguments.images
        rss = statistics.median(run.rss_mb for run in runs)
        print(f"{name:<48} wall {shown[0]:<22} steady {shown[1]:<22} images/s   {cpu:.2f} ms CPU   {rss:.0f} MB")


if __name__ == "__main__":
    main()
