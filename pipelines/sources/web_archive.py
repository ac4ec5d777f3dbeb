"""Web archives (WARC, ARC, WACZ): every 2xx HTML response is a document, everything else is counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import BinaryIO

from infimm_data.document import Document, new_document
from pipelines.archives.files import list_files, open_archive, read_archive
from pipelines.archives.http_message import (
    MAX_HTTP_HEADER_BYTES,
    BodyTooLargeError,
    DamagedBodyError,
    HttpMessage,
    decoded_body,
    http_message,
)
from pipelines.archives.images import ImageIndex, archive_images, holds_image, image_index
from pipelines.archives.records import Damage, Record
from pipelines.extract import extract_html
from pipelines.html_images import decode_data_uri
from pipelines.html_limits import parsing_hazard
from pipelines.sources.contract import Skipped, WorkItem

_HTML_TYPES = frozenset(("text/html", "application/xhtml+xml"))
_UNKNOWN_TYPES = frozenset(("", "application/octet-stream", "unknown", "unk", "no-type", "application/unknown"))
_COUNTED = frozenset(("response", "resource", "revisit"))
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<title", b"<!--")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebArchive:
    """path: a file, a folder or a glob of .warc, .warc.gz, .arc, .arc.gz, .wacz; local or any fsspec URL.

    max_page_bytes: of the decoded page, larger ones are skipped before parsing; max_image_bytes: of an image in
    the archive; max_depth: nested elements, deeper pages are skipped before parsing (at 5,000 nested <div> the
    parser takes 0.1 s, at 100,000 half a minute).
    """

    path: str
    max_page_bytes: int = 10_000_000
    max_image_bytes: int = 20_000_000
    max_depth: int = 10_000

    def work_items(self) -> list[WorkItem]:
        """List the archive files, sorted by name; raises ConfigError where there is none."""
        files = list_files(self.path)
        return [
            WorkItem(index=index, name=name, path=path, size_bytes=size)
            for index, (name, path, size) in enumerate(files)
        ]

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document for each 2xx HTML page; for every other response, resource, revisit: a Skipped.

        Image responses are neither: they are reached through `images`. Requests, metadata and the archive's own
        descriptions are no pages and are passed over. Of an image's several addresses on a page the one that the
        archive holds is taken; that costs a first walk over the archive's headers. Raises SourceError where the
        file holds no record at all.
        """
        with open_archive(item.path) as file:
            index = image_index(file, item.name)
            file.seek(0)
            for dump, record in read_archive(file, item.name, self._keep):
                if isinstance(record, Damage):
                    yield Skipped(reason="damaged_record", offset=record.offset, url=record.url, detail=record.detail)
                elif record.kind in _COUNTED and (answer := self._page(record, dump, index)) is not None:
                    yield answer

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (wanted URL, image file) from `data:` URIs and from the archive's own records.

        A URL is looked up exactly, then by `pipelines.archives.urls.url_key` (http and https, fragment,
        percent-encoding and default port are not told apart), through redirects and revisit records.
        """
        in_page = [url for url in urls if url[:5].lower() == "data:"]
        for url in in_page:
            if (data := decode_data_uri(url, self.max_image_bytes)) is not None:
                yield url, data
        stored = [url for url in urls if url[:5].lower() != "data:"]
        if not stored:
            return
        with ExitStack() as opened:

            def open_file() -> BinaryIO:
                return opened.enter_context(open_archive(item.path))

            yield from archive_images(open_file, item.name, stored, self.max_image_bytes)

    def _keep(self, kind: str, url: str) -> int:
        return self.max_page_bytes + MAX_HTTP_HEADER_BYTES if kind in _COUNTED else 0

    def _page(self, record: Record, dump: str, index: ImageIndex) -> Document | Skipped | None:
        message = http_message(record)
        reason, detail = _refusal(record, message)
        if reason == "image":
            return None
        if not reason:
            answer = self._document(record, message, index)
            if isinstance(answer, Document):
                origin = replace(answer.origin, dump=dump, offset=record.offset, date=record.date)
                return new_document(answer.nodes, origin)
            reason, detail = answer
        return Skipped(reason=reason, offset=record.offset, url=record.url, detail=detail)

    def _document(self, record: Record, message: HttpMessage, index: ImageIndex) -> Document | tuple[str, str]:
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
        document = extract_html(html, record.url, charset=message.charset, is_stored=index.holds)
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
