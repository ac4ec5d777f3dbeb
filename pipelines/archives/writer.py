"""Writes WARC records (ISO 28500), each its own gzip member; equal records give equal bytes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import uuid
from collections.abc import Sequence

Fields = Sequence[tuple[str, str]]
"""Header fields in their order."""

RESPONSE, REQUEST = "application/http; msgtype=response", "application/http; msgtype=request"
WARC_FIELDS = "application/warc-fields"


def warc_record(
    kind: str, block: bytes, *, record_id: str, date: str, content_type: str, fields: Fields = (),
    version: str = "1.1",
) -> bytes:  # fmt: skip
    """Return one record as a gzip member.

    kind: WARC-Type; record_id: as `record_id` makes it; date: ISO 8601 in UTC; fields: further header fields. Line
    ends in their values become spaces: a URL from the web must not write a header of its own.
    """
    head = (
        ("WARC-Type", kind),
        ("WARC-Record-ID", record_id),
        ("WARC-Date", date),
        *fields,
        ("WARC-Block-Digest", digest(block)),
        ("Content-Type", content_type),
        ("Content-Length", str(len(block))),
    )
    lines = "".join(f"{name}: {' '.join(value.splitlines())}\r\n" for name, value in head)
    whole = f"WARC/{version}\r\n{lines}\r\n".encode("utf-8", "replace") + block + b"\r\n\r\n"
    return gzip.compress(whole, 9, mtime=0)


def record_id(file: str, number: int) -> str:
    """Return the id of a record by its place: file name and number in the file."""
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{file}#{number}')}>"


def digest(data: bytes) -> str:
    """Return the SHA-1 of data as WARC files hold it: base 32, named."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def warc_fields(fields: Fields) -> bytes:
    """Return a block of type `WARC_FIELDS`: one `name: value` per line."""
    return "".join(f"{name}: {' '.join(value.splitlines())}\r\n" for name, value in fields).encode("utf-8", "replace")
