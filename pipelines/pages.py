"""A record of a web archive into a document: the 2xx HTML page that it holds, or the reason why it holds none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from infimm_data.document import Document, new_document
from pipelines.archives.http_message import (
    MAX_HTTP_HEADER_BYTES,
    BodyTooLargeError,
    DamagedBodyError,
    HttpMessage,
    decoded_body,
    http_message,
)
from pipelines.archives.images import holds_image
from pipelines.archives.records import Damage, Record
from pipelines.extract import extract_html
from pipelines.html_images import decode_data_uri
from pipelines.html_limits import parsing_hazard
from pipelines.sources.contract import Skipped

_HTML_TYPES = frozenset(("text/html", "application/xhtml+xml"))
_UNKNOWN_TYPES = frozenset(("", "application/octet-stream", "unknown", "unk", "no-type", "application/unknown"))
_COUNTED = frozenset(("response", "resource", "revisit"))
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<title", b"<!--")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReader:
    """Reads pages out of records, within limits.

    max_page_bytes: of the decoded page, larger ones are skipped before parsing; max_depth: nested elements, deeper
    pages are skipped before parsing (at 5,000 nested <div> the parser takes 0.1 s, at 100,000 half a minute).
    """

    max_page_bytes: int
    max_depth: int

    def keep(self, kind: str, url: str) -> int:
        """Return how many bytes of a record's block are wanted, as `read_records` asks."""
        return self.max_page_bytes + MAX_HTTP_HEADER_BYTES if kind in _COUNTED else 0

    def read(
        self, record: Record | Damage, dump: str, is_stored: Callable[[str], bool] | None = None
    ) -> Document | Skipped | None:
        """Return the page of a record; None for what is no page and not counted as one.

        That is an image, which is reached by its URL, a request, metadata, the archive's own description. dump:
        the archive's name; is_stored: as `extract_html` takes it.
        """
        if isinstance(record, Damage):
            return Skipped(reason="damaged_record", offset=record.offset, url=record.url, detail=record.detail)
        if record.kind not in _COUNTED:
            return None
        message = http_message(record)
        reason, detail = _refusal(record, message)
        if reason == "image":
            return None
        if not reason:
            answer = self._document(record, message, is_stored)
            if isinstance(answer, Document):
                origin = replace(answer.origin, dump=dump, offset=record.offset, date=record.date)
                return new_document(answer.nodes, origin)
            reason, detail = answer
        return Skipped(reason=reason, offset=record.offset, url=record.url, detail=detail)

    def _document(
        self, record: Record, message: HttpMessage, is_stored: Callable[[str], bool] | None
    ) -> Document | tuple[str, str]:
        too_large = f"over {self.max_page_bytes} bytes"
        if not record.is_whole:
            return "page_too_large", too_large
        try:
            html = decoded_body(message, self.max_page_bytes)
        except BodyTooLargeError:
            return "page_too_large", too_large
        except DamagedBodyError as damage:
            return "damaged_record", str(damage)
        if not _is_html(message, html):
            return "not_html", f"no Content-Type, and the body begins with {html[:16]!r}"
        if (hazard := parsing_hazard(html, self.max_depth)) is not None:
            return hazard, f"limit {self.max_depth}"
        document = extract_html(html, record.url, charset=message.charset, is_stored=is_stored, captions_in_text=True)
        return ("no_content", "") if document is None else document


def _refusal(record: Record, message: HttpMessage) -> tuple[str, str]:
    """Return why a record holds no page (a reason and a detail); ("", "") for a page, ("image", "") for an image."""
    if record.kind == "revisit":
        return "revisit", record.headers.get("warc-refers-to-target-uri", "")
    if message.status is not None and not 200 <= message.status < 300:
        return f"http_{message.status}", message.headers.get("location", "")[:500]
    if message.media_type.startswith("image/") or holds_image(message):
        return "image", ""
    if not record.url.startswith(("http://", "https://")):
        return "not_html", f"{message.media_type or 'no type'} at a URL that is not http"
    if message.media_type not in _HTML_TYPES and message.media_type not in _UNKNOWN_TYPES:
        return "not_html", message.media_type
    if record.missing_bytes and not message.is_complete:
        return "damaged_record", f"{record.missing_bytes} bytes are missing at the end"
    return "", ""


def _is_html(message: HttpMessage, body: bytes) -> bool:
    """Sniff where no useful type is declared, as browsers do."""
    if message.media_type in _HTML_TYPES:
        return True
    return body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML_STARTS)


def inline_images(urls: Collection[str], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield (URL, image file) for the `data:` URIs among `urls` that are images of at most `max_bytes`."""
    for url in urls:
        if url[:5].lower() == "data:" and (data := decode_data_uri(url, max_bytes)) is not None:
            yield url, data
