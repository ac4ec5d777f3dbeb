"""The image files that an archive holds: found by URL, through redirects and revisit records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar
from urllib.parse import urljoin

from infimm_data.urls import url_key
from pipelines.archives.files import read_archive
from pipelines.archives.http_message import (
    MAX_HTTP_HEADER_BYTES,
    BodyTooLargeError,
    DamagedBodyError,
    HttpMessage,
    decoded_body,
    http_message,
)
from pipelines.archives.records import Damage, Record
from pipelines.html_images import is_image

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10  # as many as curl's usage advises and fewer than browsers' 20; loops end here too
_PAGE_TYPES = frozenset(("text/html", "application/xhtml+xml"))
_PAYLOAD_KINDS = frozenset(("response", "resource", "revisit"))

Place = tuple[str, int]
"""Where a record stands: dump name and offset."""


@dataclass(slots=True)
class ImageIndex:
    """What one walk over an archive's headers tells. The first capture of a URL stands for it."""

    payloads: dict[str, Place] = field(default_factory=dict)  # by URL, and by URL key
    redirects: dict[str, str] = field(default_factory=dict)
    revisits: dict[str, tuple[str, str]] = field(default_factory=dict)  # URL -> (URL, digest) referred to
    digests: dict[str, Place] = field(default_factory=dict)

    def add(self, place: Place, record: Record) -> None:
        """Note a record."""
        message = http_message(record)
        if record.kind == "revisit":
            referred = record.headers.get("warc-refers-to-target-uri", "").strip("<> ")
            target = (referred or record.url, record.headers.get("warc-payload-digest", ""))
            _note(self.revisits, record.url, target)
        elif message.status is not None and 300 <= message.status < 400 and "location" in message.headers:
            _note(self.redirects, record.url, _joined(record.url, message.headers["location"]))
        elif holds_image(message):
            _note(self.payloads, record.url, place)
            if digest := record.headers.get("warc-payload-digest"):
                self.digests.setdefault(digest, place)

    def holds(self, url: str) -> bool:
        """Say whether the archive answers `url` with what may be an image."""
        return self.place(url) is not None

    def place(self, url: str) -> Place | None:
        """Return where the image for `url` stands, or None."""
        for _ in range(MAX_REDIRECTS + 1):
            if (found := _look_up(self.payloads, url)) is not None:
                return found
            if (target := _look_up(self.redirects, url)) is not None:
                url = target
            elif (revisit := _look_up(self.revisits, url)) is not None:
                if (found := self.digests.get(revisit[1])) is not None or revisit[0] == url:
                    return found
                url = revisit[0]
            else:
                return None
        return None


def image_index(file: BinaryIO, name: str) -> ImageIndex:
    """Return where the images of an archive stand: one walk over its headers. Raises SourceError as read_archive."""
    index = ImageIndex()
    for dump, record in read_archive(file, name, _keep_headers):
        if isinstance(record, Record) and record.kind in _PAYLOAD_KINDS:
            index.add((dump, record.offset), record)
    return index


def archive_images(
    open_file: Callable[[], BinaryIO], name: str, urls: Collection[str], max_image_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Yield (wanted URL, image file) for the `http` URLs of `urls` that the archive answers, in its order.

    An exact URL goes before one that only has the same `url_key`. Two walks over the file: one over headers, one
    for the bytes. An image that is damaged or over `max_image_bytes` is passed over, with a log line.
    """
    index = image_index(open_file(), name)
    wanted: dict[Place, list[str]] = {}
    for url in urls:
        if (place := index.place(url)) is not None:
            wanted.setdefault(place, []).append(url)
    if not wanted:
        return
    targets = {url for url, place in index.payloads.items() if place in wanted}

    def keep(kind: str, url: str) -> int:
        return max_image_bytes + MAX_HTTP_HEADER_BYTES if url in targets and kind in _PAYLOAD_KINDS else 0

    for dump, record in read_archive(open_file(), name, keep):
        if isinstance(record, Damage):
            continue
        for url in wanted.pop((dump, record.offset), []):
            if (data := _image(record, max_image_bytes)) is not None:
                yield url, data


def _keep_headers(kind: str, url: str) -> int:
    return MAX_HTTP_HEADER_BYTES if kind in _PAYLOAD_KINDS else 0


def _image(record: Record, max_bytes: int) -> bytes | None:
    message = http_message(record)
    if record.missing_bytes and not message.is_complete:
        return None
    try:
        if record.is_whole:
            return decoded_body(message, max_bytes)
    except DamagedBodyError as damage:
        logger.info("image url=%s offset=%d: %s", record.url, record.offset, damage)
        return None
    except BodyTooLargeError:
        pass
    logger.info("image url=%s offset=%d: over %d bytes", record.url, record.offset, max_bytes)
    return None


def holds_image(message: HttpMessage) -> bool:
    """Say whether a 2xx response (or a resource) is an image by its type, or by its bytes where it is no page."""
    if not (message.status is None or 200 <= message.status < 300) or not message.body:
        return False
    if message.media_type.startswith("image/"):
        return True
    return message.media_type not in _PAGE_TYPES and is_image(message.body)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location.strip())
    except ValueError:
        return location


def _note(known: dict[str, _T], url: str, value: _T) -> None:
    known.setdefault(url, value)
    known.setdefault(url_key(url), value)


def _look_up(known: dict[str, _T], url: str) -> _T | None:
    return known.get(url) if url in known else known.get(url_key(url))
