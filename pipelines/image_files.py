"""What a worker of the fetch pass does: gets the images of one work item, and appends them to its tar.

Images come from the dump itself where it holds them, else over HTTP. What was fetched once is never fetched
again: when more is wanted later (a text threshold was loosened, a file of the dump was touched), the files grow by
what is missing; of a touched file the dump's own images are taken anew, the web's answers stay. The tar of a second
run starts with the bytes of the first, so even a kill between the two files leaves all offsets right. Apart from the
pass itself, so that a worker loads neither recipes nor filters: 0.2 s.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tarfile
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from typing import IO, Any

import pyarrow as pa

from infimm_data.document import short_url
from infimm_data.files import file_system, open_whole, remove
from infimm_data.shards import tar_member
from infimm_data.tables import read_documents, read_metadata, read_table, write_table
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import Fetched, fetch_all
from pipelines.http_session import ConnectTo
from pipelines.image_row import SCHEMA, image_rows
from pipelines.layout import Layout
from pipelines.sources.contract import Source, WorkItem

MISSING = "missing_file"
"""The status of a file that the dump names and does not hold; it is looked for again by every run."""
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")  # RFC 3986, 3.1; what has none is a file that the dump should hold
_LIMITS_DIGITS = 32  # of a fetch_print, which say what was asked of an answer; the others say which documents wanted it


def fetch_item(
    source: Source, item: WorkItem, layout: Layout, settings: FetchSettings, connect_to: ConnectTo,
    urls: Sequence[str], print_: str, again: Collection[str] = (),
) -> dict[str, int]:  # fmt: skip
    """Get the images of one work item; return how many URLs ended in each status. Network and decoding overlap.

    urls: distinct, in order, in the form of `short_url`; again: statuses of an earlier run that are no answers.
    """
    earlier = _earlier_rows(source, item, layout, print_)
    rows = [row for row in earlier if row["status"] not in (MISSING, *again)]
    known = {row["url"] for row in rows}
    missing = [url for url in urls if url not in known]
    numbers = itertools.count(len(earlier))
    with open_whole(layout.image_tar(item.key)) as tar:
        if earlier:
            _copy_tar(layout.image_tar(item.key), tar)
        answers = _obtain(source, item, _whole_urls(layout, item, missing), settings, connect_to)
        with contextlib.closing(answers):
            for row, data in image_rows(answers, settings):
                number = next(numbers)
                rows.append(row if data is None else row | {"offset": _append(tar, number, row["stored_format"], data)})
    counts = dict(sorted(Counter(row["status"] for row in rows).items()))
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_table(layout.images(item.key), table, fingerprint=print_, counts=counts)
    return counts


def _earlier_rows(source: Source, item: WorkItem, layout: Layout, print_: str) -> list[dict[str, Any]]:
    """Return what an earlier run fetched under the same limits; forget what other limits fetched.

    Of another version of the item that is what the web answered, for images that the dump does not hold by now.
    """
    path = layout.images(item.key)
    before = read_metadata(path)[0]
    if before == print_:
        return list(read_table(path).to_pylist())
    if before is not None and before[:_LIMITS_DIGITS] == print_[:_LIMITS_DIGITS]:
        rows = [row for row in read_table(path).to_pylist() if row["host"] is not None]
        held = {url for url, _ in source.images(item, [row["url"] for row in rows])} if rows else set()
        if rows := [row for row in rows if row["url"] not in held]:
            return rows
    remove(path)  # before its tar is replaced: a row must never point into another tar
    return []


def _copy_tar(path: str, target: IO[bytes]) -> None:
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as old:
        while chunk := old.read(1 << 20):
            target.write(chunk)


def _whole_urls(layout: Layout, item: WorkItem, urls: Sequence[str]) -> dict[str, str]:
    """Return whole URL -> short URL, in order; the whole `data:` URIs stand in the documents."""
    inline = {url for url in urls if url.startswith("data:")}
    found = {url: url for url in urls if url not in inline}
    if inline:
        nodes = (node for document in read_documents(layout.documents(item.key)) for node in document.images)
        found |= {node.url: short for node in nodes if (short := short_url(node.url)) in inline}
    return found


def _obtain(
    source: Source, item: WorkItem, urls: dict[str, str], settings: FetchSettings, connect_to: ConnectTo
) -> Generator[Fetched, None, None]:
    """Yield an answer for every URL once: first what the dump holds, then the web's in order.

    urls: whole URL -> short URL, under which it is answered.
    """
    left = dict(urls)
    for url, data in source.images(item, list(urls)):
        if url in left:
            short = left.pop(url)
            yield Fetched(short, "ok", data) if len(data) <= settings.max_bytes else Fetched(short, "too_many_bytes")
    for url in [url for url in left if url[:5].lower() == "data:" or not _SCHEME.match(url)]:
        yield Fetched(left.pop(url), "bad_data_uri" if url[:5].lower() == "data:" else MISSING)
    with contextlib.closing(fetch_all(left, settings, connect_to)) as answers:
        for answer in answers:
            yield answer if left[answer.url] == answer.url else replace(answer, url=left[answer.url])


def _append(tar: IO[bytes], number: int, format_: str, data: bytes) -> int:
    """Append an image to the tar; return the offset of its bytes."""
    offset = tar.tell() + tarfile.BLOCKSIZE
    tar.write(tar_member(f"{number:06d}.{format_}", data))
    return offset


def read_image(file: IO[bytes], offset: int, size: int) -> bytes:
    """Return the bytes of one image from an open image tar."""
    file.seek(offset)
    return file.read(size)
