"""Sitemaps (sitemaps.org): page URLs and further sitemaps out of XML or text from a hostile web."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_SITEMAP_BYTES = 52_428_800  # sitemaps.org: at most 50 MB unzipped
MAX_SITEMAP_URLS = 50_000  # sitemaps.org
_MAX_DEPTH = 16  # elements inside each other; a sitemap has 3
_MAX_URL_CHARS = 2_048  # sitemaps.org
_GZIP = b"\x1f\x8b"


class BadSitemapError(Exception):
    """The bytes are no sitemap, or one made to do harm; the message says why."""


@dataclass(slots=True)
class Sitemap:
    """pages: in order; sitemaps: that an index names."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)


def read_sitemap(data: bytes) -> Sitemap:
    """Return what a sitemap lists: XML (urlset or sitemapindex) or one URL per line, possibly gzip.

    Raises BadSitemapError on a document type declaration (no entity is ever expanded), on what is nested too deep,
    and over the limits of sitemaps.org. A broken end keeps what came before.
    """
    if data.startswith(_GZIP):
        data = _unzip(data)
    if len(data) > MAX_SITEMAP_BYTES:
        raise BadSitemapError(f"over {MAX_SITEMAP_BYTES} bytes")
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<") or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _Reader().read(data)
    lines = [line.strip() for line in data.decode("utf-8", "replace").split("\n")[:MAX_SITEMAP_URLS]]
    return Sitemap(pages=[line for line in lines if line.startswith(("http://", "https://"))])


def _unzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, MAX_SITEMAP_BYTES + 1)
    except zlib.error as error:
        raise BadSitemapError(f"the gzip stream is broken ({error})") from None


class _Reader:
    def __init__(self) -> None:
        self._found = Sitemap()
        self._path: list[str] = []
        self._text: list[str] = []

    def read(self, data: bytes) -> Sitemap:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            if not self._found.pages and not self._found.sitemaps:
                raise BadSitemapError(f"not XML ({error})") from None
        return self._found

    def _doctype(self, *_: object) -> None:
        raise BadSitemapError("a document type declaration, which a sitemap has no use for")

    def _start(self, name: str, _: object) -> None:
        if len(self._path) >= _MAX_DEPTH:
            raise BadSitemapError(f"elements nested over {_MAX_DEPTH} deep")
        self._path.append(name.rpartition(":")[2].lower())
        self._text.clear()

    def _characters(self, text: str) -> None:
        if self._path[-1] == "loc" and len(self._text) < _MAX_URL_CHARS:
            self._text.append(text)

    def _end(self, _: str) -> None:
        kind = self._path[-2:]
        self._path.pop()
        url = "".join(self._text).strip()
        self._text.clear()
        listed = {"url": self._found.pages, "sitemap": self._found.sitemaps}.get(kind[0]) if len(kind) == 2 else None
        if kind[-1] == "loc" and listed is not None and 0 < len(url) <= _MAX_URL_CHARS:
            if len(listed) >= MAX_SITEMAP_URLS:
                raise BadSitemapError(f"over {MAX_SITEMAP_URLS} URLs")
            listed.append(url)
