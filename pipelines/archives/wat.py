"""WAT records of Common Crawl: what a capture's metadata says of its page, its title and its images in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.archives.records import Record
from pipelines.html_images import resolve
from pipelines.html_text import clean

MAX_LINKS = 10_000  # of one page that are looked at: galleries have hundreds
_IMAGE_PATH = "IMG@/src"  # where WAT notes an image's source (cc2dataset's rule, too)


class DamagedWatError(Exception):
    """The record is not the JSON of a WAT record; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatPage:
    """url: of the page; status: HTTP, as text; is_html: whether links were taken from it; date: of the capture.

    images: (absolute URL, alt text) in the order of the page, those with both.
    """

    url: str
    status: str
    is_html: bool
    title: str
    date: str
    images: tuple[tuple[str, str], ...]


def wat_page(record: Record) -> WatPage | None:
    """Return what a WAT record says of a response; None for one about a request, metadata or the archive itself.

    Raises DamagedWatError where it is no such JSON.
    """
    try:
        envelope = json.loads(record.block)["Envelope"]
        payload = envelope["Payload-Metadata"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedWatError(f"not the JSON of a WAT record ({type(error).__name__}: {error})"[:300]) from None
    header = _mapping(envelope, "WARC-Header-Metadata")
    response = _mapping(payload, "HTTP-Response-Metadata")
    if not response:
        return None
    url = _text(header, "WARC-Target-URI") or record.url
    html = _mapping(response, "HTML-Metadata")
    head = _mapping(html, "Head")
    base = _text(head, "Base")
    return WatPage(
        url=url,
        status=_text(_mapping(response, "Response-Message"), "Status"),
        is_html=bool(html),
        title=clean(_text(head, "Title")),
        date=_text(header, "WARC-Date") or record.date,
        images=_images(html.get("Links"), (base and resolve(base, url)) or url),
    )


def _images(links: Any, base_url: str) -> tuple[tuple[str, str], ...]:
    found = []
    for link in links[:MAX_LINKS] if isinstance(links, list) else ():
        if not isinstance(link, dict) or link.get("path") != _IMAGE_PATH:
            continue
        url, alt = resolve(_text(link, "url"), base_url), clean(_text(link, "alt"))
        if url and alt:
            found.append((url, alt))
    return tuple(found)


def _mapping(data: Any, key: str) -> Mapping[str, Any]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def _text(data: Any, key: str) -> str:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
