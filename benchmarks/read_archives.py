"""Reading web archives: our records beside FastWARC's, over the same made .warc.gz, one gzip member per record.

    python benchmarks/read_archives.py [--pages 2000] [--runs 5] [FILE ...]

Makes the archive first (or takes the files named): pages of words with mark-up. Both
readers hand over every response's whole block; nothing is parsed. Runs alternate; the medians count. The last line
says what the difference weighs: the share that reading has in reading and extracting.
Limit: one process, page cache warm.
"""

from __future__ import annotations

import argparse
import gzip
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fastwarc.warc import ArchiveIterator

from pipelines.archives.records import Record, read_records
from pipelines.extract import extract_html

PAGE_BYTES = 51_000  # mean size of a page in the crawls that the peers were measured with


def make_archive(path: Path, pages: int) -> None:
    """Write an archive of `pages` pages, about 51 KB each."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5_000)]
    with path.open("wb") as file:
        for number in range(pages):
            paragraphs, size = [], 0
            while size < PAGE_BYTES:
                paragraphs.append(f'<div class="text"><p>{" ".join(rng.choices(words, k=80))}.</p></div>')
                size += len(paragraphs[-1])
            html = f"<html><body><main>{''.join(paragraphs)}</main></body></html>".encode()
            file.write(gzip.compress(warc_record(f"http://a.example/{number}", html), 6, mtime=0))


def warc_record(url: str, html: bytes) -> bytes:
    """Return a response record."""
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(html)}\r\n\r\n".encode() + html
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
    head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    return head.encode() + block + b"\r\n\r\n"


def ours(path: str) -> Iterator[bytes]:
    """Yield the block of every response."""
    with open(path, "rb") as file:
        for record in read_records(file, lambda kind, url: 1 << 30):
            if isinstance(record, Record) and record.kind == "response":
                yield record.block


def fastwarc(path: str) -> Iterator[bytes]:
    """Yield the block of every response."""
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, parse_http=False):
            if record.headers.get("WARC-Type") == "response":
                yield record.reader.read()


def seconds_of(reader: Callable[[str], Iterator[bytes]], paths: Sequence[str]) -> tuple[float, int]:
    """Return how long reading took, and how many responses there were."""
    start = time.perf_counter()
    count = sum(1 for path in paths for _ in reader(path))
    return time.perf_counter() - start, count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.files:
            make_archive(Path(folder) / "made.warc.gz", arguments.pages)
        paths = arguments.files or [f"{folder}/made.warc.gz"]
        rates: dict[str, list[float]] = {"ours": [], "fastwarc": []}
        for _ in range(arguments.runs):
            for name, reader in (("ours", ours), ("fastwarc", fastwarc)):
                seconds, count = seconds_of(reader, paths)
                rates[name].append(count / seconds)
        print(f"{count} responses, {sum(Path(path).stat().st_size for path in paths) / 1e6:.1f} MB as stored")
        for name, found in rates.items():
            print(
                f"{name:<10} median {statistics.median(found):>8.0f} responses/s   {min(found):.0f} to {max(found):.0f}"
            )
        blocks = [block for path in paths for block in ours(path)][:500]
        start = time.perf_counter()
        for block in blocks:
            extract_html(block.partition(b"\r\n\r\n")[2], "http://a.example/")
        extracting = len(blocks) / (time.perf_counter() - start)
        reading = statistics.median(rates["ours"])
        share = extracting / (reading + extracting)
        print(f"extraction {extracting:.0f} pages/s: reading is {share:.0%} of reading and extracting")


if __name__ == "__main__":
    main()
