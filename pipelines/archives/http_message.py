"""An HTTP response as stored in an archive: its status, headers and body, the body decoded in bounded memory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]  # ships no types

from pipelines.archives.records import Record, parse_header_lines

MAX_HTTP_HEADER_BYTES = 1 << 16
_STATUS_LINE = re.compile(rb"\s*(?:HTTP/\d(?:\.\d)?|ICY)\s+(\d{1,3})\b[^\n]*\n")
_HEADERS_END = re.compile(rb"\r?\n\r?\n|\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_STEP_BYTES = 1 << 16


class BodyTooLargeError(Exception):
    """The decoded body is over the limit."""


class DamagedBodyError(Exception):
    """The body cannot be decoded; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpMessage:
    """status: None where the block is no HTTP response (a resource record, dns); headers: names in lower case."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case; "" where absent."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_complete(self) -> bool:
        """Say whether the body is at least as long as its Content-Length declares; False where it declares none."""
        length = self.headers.get("content-length", "")
        return length.isascii() and length.isdigit() and len(self.body) >= int(length)

    @property
    def charset(self) -> str | None:
        """The charset that Content-Type names."""
        match = re.search(r"charset\s*=\s*[\"']?([\w.:\-]+)", self.headers.get("content-type", ""), re.I)
        return match[1] if match else None


def http_message(record: Record) -> HttpMessage:
    """Split a record's block into status, headers and body as sent; a block without a status line is all body."""
    block = record.block
    status = _STATUS_LINE.match(block[:4_096])
    if status is None:
        return HttpMessage(status=None, headers={"content-type": record.media_type}, body=block)
    end = _HEADERS_END.search(block, status.end() - 1, MAX_HTTP_HEADER_BYTES)
    head = block[status.end() : end.start() if end else len(block)]
    body = block[end.end() :] if end else b""
    return HttpMessage(status=int(status[1]), headers=parse_header_lines(head.split(b"\n")), body=body)


def decoded_body(message: HttpMessage, max_bytes: int) -> bytes:
    """Return the body as the browser would see it: chunks joined, content encodings undone, at most `max_bytes`.

    Headers that the body contradicts are passed over (Common Crawl keeps `chunked` and `gzip` on bodies it has
    already decoded), and a body that merely ends early gives what it holds, as a browser shows it. Raises
    BodyTooLargeError over the limit, DamagedBodyError where an encoding is unknown or broken.
    """
    body = message.body
    if "chunked" in message.headers.get("transfer-encoding", "").lower():
        body = _join_chunks(body)
    encodings = message.headers.get("content-encoding", "").lower().replace(",", " ").split()
    for encoding in reversed(encodings):
        body = _decode(body, encoding, max_bytes)
    if len(body) > max_bytes:
        raise BodyTooLargeError
    return body


def _join_chunks(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while (match := _CHUNK_SIZE.match(body, at)) is not None:
        size = int(match[1], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[match.end() : match.end() + size])
        at = match.end() + size
        if at >= len(body):
            return b"".join(parts)  # cut short
        ends = body[at : at + 2]
        at += 2 if ends == b"\r\n" else 1 if ends[:1] == b"\n" else 0
    if not parts:
        return body  # already joined
    raise DamagedBodyError(f"broken chunk size {body[at : at + 12]!r} at byte {at} of the body")


def _decode(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, zlib.MAX_WBITS | 16, max_bytes) if body.startswith(b"\x1f\x8b") else body
    if encoding == "deflate":
        # RFC 9110 means zlib; old servers send it raw. A zlib header is 0x78 and a multiple of 31.
        if len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0:
            return _inflate(body, zlib.MAX_WBITS, max_bytes)
        return body if _looks_like_text(body) else _inflate(body, -zlib.MAX_WBITS, max_bytes)
    if encoding == "br":
        return body if _looks_like_text(body) else _unbrotli(body, max_bytes)
    if encoding in ("identity", "utf-8", "none", "binary"):
        return body
    if _looks_like_text(body):
        return body  # a made-up encoding over plain text: nothing to undo
    raise DamagedBodyError(f"content encoding {encoding!r} is not known")


def _inflate(body: bytes, wbits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    try:
        out = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise DamagedBodyError(f"content encoding is broken ({error})") from None
    if len(out) > max_bytes:
        raise BodyTooLargeError
    return out


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    try:
        for at in range(0, len(body), _STEP_BYTES):
            piece = body[at : at + _STEP_BYTES]
            part = decoder.process(piece, output_buffer_limit=_STEP_BYTES)
            while part or not decoder.can_accept_more_data():
                size += len(part)
                parts.append(part)
                if size > max_bytes:
                    raise BodyTooLargeError
                part = decoder.process(b"", output_buffer_limit=_STEP_BYTES)
    except brotli.error as error:
        raise DamagedBodyError(f"content encoding is broken (brotli: {error})") from None
    return b"".join(parts)


def _looks_like_text(body: bytes) -> bool:
    head = body[:512]
    return b"<" in head and b"\0" not in head and sum(byte < 9 or 13 < byte < 32 for byte in head) == 0
