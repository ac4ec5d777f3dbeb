"""Which payloads a crawl holds already: what comes again is written as a revisit record (WARC 1.1, 6.7.2).

A page that comes again is no document anew, so pages are known by the whole part. An image is looked for in the file
of its page, so images are known by the file that is being written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.archives.writer import Fields, digest
from pipelines.crawl.exchange import Exchange

PROFILE = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
MAX_PAYLOADS = 1_000_000  # known of a part, some 300 bytes each; beyond them an answer is written whole
KINDS = ("page", "image")


class Payload(NamedTuple):
    """Where a payload stands: URL, date and id of its response record."""

    url: str
    date: str
    record_id: str


@dataclass(slots=True)
class Payloads:
    """Known payloads by kind and digest."""

    _known: dict[str, dict[str, Payload]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def find(self, kind: str, digest_: str) -> Payload | None:
        """Return where a payload of that kind stands, or None."""
        return self._known[kind].get(digest_)

    def note(self, kind: str, digest_: str, payload: Payload) -> None:
        """Remember a payload; the first one stays."""
        if len(self._known[kind]) < MAX_PAYLOADS:
            self._known[kind].setdefault(digest_, payload)

    def end_file(self) -> None:
        """Forget the images: what follows is written to another file."""
        self._known["image"].clear()


def payload_digest(kind: str, exchange: Exchange) -> str:
    """Return the digest of an answer that may be referred to, "" for one that may not: no page, no image, not whole."""
    if kind not in KINDS or exchange.is_cut or not exchange.body or not 200 <= exchange.status < 300:
        return ""
    return digest(exchange.body)


def revisit_fields(payload: Payload) -> Fields:
    """Return the header fields of a revisit record beside its digest."""
    return (
        ("WARC-Profile", PROFILE),
        ("WARC-Refers-To", payload.record_id),
        ("WARC-Refers-To-Target-URI", payload.url),
        ("WARC-Refers-To-Date", payload.date),
    )
