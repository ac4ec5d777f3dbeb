"""One fetched image file into its row of facts and the bytes that are stored of it, in threads beside the network."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from infimm_data.image_headers import BadImage
from infimm_data.images import ImageFacts, inspect_header, inspect_image
from infimm_data.resize import Stored, resize_image
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import Fetched

SCHEMA = pa.schema(
    [
        ("url", pa.string()),  # or what `short_url` makes of it
        ("status", pa.string()),  # "ok", or why there is no image
        ("offset", pa.int64()),  # of the stored bytes in the tar
        ("size_bytes", pa.int64()),  # this and all down to phash: of the file as it came
        ("sha256", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),  # pixels, as shown (EXIF orientation applied)
        ("height", pa.int32()),
        ("short_side", pa.int32()),
        ("long_side", pa.int32()),
        ("aspect", pa.float64()),  # long / short
        ("phash", pa.uint64()),  # null where the recipe has the header checked only
        ("stored_bytes", pa.int64()),  # this and the next four: of the file in the tar, the same one without a resize
        ("stored_sha256", pa.string()),
        ("stored_format", pa.string()),
        ("stored_width", pa.int32()),
        ("stored_height", pa.int32()),
        ("host", pa.string()),  # that the last request went to; null where the dump itself was asked
        ("directive", pa.string()),  # with which the host refused this use, in its words; else null
        ("told_at", pa.string()),  # when it did, ISO 8601 in UTC
    ]
)
THREADS = 2  # Pillow decodes without the interpreter's lock; with more the network's thread starves
WAITING = 8  # files beyond those being decoded; a file has at most `max_bytes`

Row = dict[str, Any]


def image_rows(answers: Iterable[Fetched], settings: FetchSettings) -> Iterator[tuple[Row, bytes | None]]:
    """Yield (row of facts, bytes to store or None) for each answer in order; the row's offset is left open."""
    if settings.check == "header" and settings.resize is None:  # nothing is decoded: a thread would cost more
        yield from (image_row(answer, settings) for answer in answers)
        return
    waiting: deque[Future[tuple[Row, bytes | None]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="decode") as threads:
        for answer in answers:
            waiting.append(threads.submit(image_row, answer, settings))
            while len(waiting) > WAITING or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def image_row(answer: Fetched, settings: FetchSettings) -> tuple[Row, bytes | None]:
    """Return the row of facts of one answer and the bytes to store; every bad image is a status."""
    row: Row = {
        "url": answer.url, "status": answer.status,
        "host": answer.host, "directive": answer.directive, "told_at": answer.told_at,
    }  # fmt: skip
    if answer.data is None:
        return row, None
    try:
        facts, stored = _examined(answer.data, settings)
    except BadImage as bad:
        return row | {"status": bad.reason}, None
    sha256 = hashlib.sha256(answer.data).hexdigest()
    short, long = sorted((facts.width, facts.height))
    row |= {
        "size_bytes": len(answer.data), "sha256": sha256, "format": facts.format, "width": facts.width,
        "height": facts.height, "short_side": short, "long_side": long, "aspect": long / short, "phash": facts.phash,
    }  # fmt: skip
    if stored is None:
        row |= {f"stored_{name}": row[name] for name in ("sha256", "format", "width", "height")}
        return row | {"stored_bytes": len(answer.data)}, answer.data
    assert settings.resize is not None
    row |= {
        "stored_bytes": len(stored.data), "stored_sha256": hashlib.sha256(stored.data).hexdigest(),
        "stored_format": settings.resize.format, "stored_width": stored.width, "stored_height": stored.height,
    }  # fmt: skip
    return row, stored.data


def _examined(data: bytes, settings: FetchSettings) -> tuple[ImageFacts, Stored | None]:
    if settings.resize is not None:
        return resize_image(data, settings.resize.plan(), max_pixels=settings.max_pixels)
    inspect = inspect_image if settings.check == "pixels" else inspect_header
    return inspect(data, max_pixels=settings.max_pixels), None
