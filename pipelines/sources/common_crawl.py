"""Common Crawl by crawl id or by path: pages of WARC files, image links of WAT files, texts of WET files."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from infimm_data.document import Document, ImageNode, Node, Origin, TextNode, document_id, new_document
from infimm_data.errors import ConfigError
from infimm_data.files import join
from pipelines.archives.files import SUFFIXES, is_safe_name, list_files, open_archive, read_archive
from pipelines.archives.records import Record
from pipelines.archives.remote import READ_ERRORS, archive_file_system
from pipelines.archives.wat import DamagedWatError, WatPage, wat_page
from pipelines.html_text import clean
from pipelines.pages import PageReader, inline_images
from pipelines.preview import sampled
from pipelines.sources.contract import Preview, Skipped, WorkItem

MAX_LISTING_BYTES = 1 << 26  # unzipped; the listing of the 90,000 files of a crawl is 12 MB
_CRAWL = re.compile(r"CC-[A-Z]+[-/\d]*(?:-\w+)?")
_DERIVED = tuple(f".{kind}{gz}" for kind in ("wat", "wet") for gz in ("", ".gz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonCrawl:
    """A crawl by its id, or files of any crawl by their path; what a record is decides how it is read.

    crawl: id as on commoncrawl.org, like CC-MAIN-2023-50; files: which of its files: "warc", "wat" or "wet";
    base: where `crawl-data/` lies: https, s3 or a local mirror, any fsspec URL; max_files: so many files drawn at
    random by `seed` (a larger number draws the same and more), None reads all; path: instead of all these, a file,
    a folder or a glob of WARC, WAT and WET files; wat_documents: "pages" makes one document of a page's title and
    its images, each with its alt text, "pairs" one document of each image with its alt text (as cc2dataset);
    max_page_bytes, max_depth: as `PageReader`; the former also bounds a WAT or WET record.
    """

    listing: ClassVar[tuple[str, ...]] = ("path", "base", "max_files", "seed")

    crawl: str | None = None
    files: Literal["warc", "wat", "wet"] = "warc"
    base: str = "https://data.commoncrawl.org/"
    max_files: int | None = None
    seed: int = 0
    path: str | None = None
    wat_documents: Literal["pages", "pairs"] = "pages"
    max_page_bytes: int = 10_000_000
    max_depth: int = 10_000

    def __post_init__(self) -> None:
        """Raise ConfigError where the settings contradict each other."""
        if (self.crawl is None) == (self.path is None):
            raise ConfigError("give 'crawl' (an id like CC-MAIN-2023-50) or 'path' (archive files), one of the two")
        if self.crawl is not None and not _CRAWL.fullmatch(self.crawl):
            raise ConfigError(f"'crawl' is {self.crawl!r}: expected an id like CC-MAIN-2023-50, see commoncrawl.org")
        if self.max_files is not None and self.max_files < 1:
            raise ConfigError(f"'max_files' is {self.max_files}: expected 1 or more")

    def work_items(self) -> list[WorkItem]:
        """List the files; raises ConfigError where there is none, or the crawl's listing cannot be read."""
        if self.path is not None:
            found = list_files(self.path, kind="common_crawl", suffixes=SUFFIXES + _DERIVED)
        else:
            found = [(name, join(self.base, name), 0) for name in self._listed()]
        order = list(range(len(found)))
        if self.max_files is not None:
            random.Random(self.seed).shuffle(order)
        return [
            WorkItem(index=index, name=found[place][0], path=found[place][1], size_bytes=found[place][2])
            for index, place in enumerate(order[: self.max_files])
        ]

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Sample the first file, and take the others, whose sizes a listing does not tell, for as large."""
        if not items or items[0].size_bytes:
            return sampled(self, items)
        try:
            filesystem, inside = archive_file_system(items[0].path)
            size = int(filesystem.info(inside)["size"] or 0)
        except READ_ERRORS as error:
            return Preview(how=f"the sample cannot be read: {error.__cause__ or error}")
        found = sampled(self, [replace(item, size_bytes=size) for item in items])
        return replace(found, size_bytes=size * len(items))

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield the documents of one file in one walk, which over HTTP or s3 means one download.

        Images are not looked for in the file: Common Crawl stores pages. Raises SourceError where the file cannot
        be read or holds no record.
        """
        pages = PageReader(max_page_bytes=self.max_page_bytes, max_depth=self.max_depth)

        def keep(kind: str, url: str) -> int:
            return self.max_page_bytes if kind in ("metadata", "conversion") else pages.keep(kind, url)

        with open_archive(item.path) as file:
            for dump, record in read_archive(file, item.name, keep):
                if isinstance(record, Record) and record.kind == "metadata":
                    yield from self._links(record, dump)
                elif isinstance(record, Record) and record.kind == "conversion":
                    yield _text(record, dump)
                elif (answer := pages.read(record, dump)) is not None:
                    yield answer

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield what stands in `data:` URIs; everything else is for the web to answer."""
        yield from inline_images(urls, self.max_page_bytes)

    def _listed(self) -> list[str]:
        listing = join(self.base, "crawl-data", str(self.crawl), f"{self.files}.paths.gz")
        try:
            filesystem, inside = archive_file_system(listing)
            with filesystem.open(inside, "rb") as file:
                text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(
                    file.read(MAX_LISTING_BYTES), MAX_LISTING_BYTES
                )
        except (*READ_ERRORS, zlib.error) as error:
            problem = error.__cause__ or error
            raise ConfigError(f"{listing}: cannot be read ({problem}); check 'crawl', 'base' and the network") from None
        names = text.decode("utf-8", "replace").split()
        bad = next((name for name in names if not is_safe_name(name)), None)
        if not names or bad is not None:
            found = "no path" if bad is None else f"the path {bad[:80]!r}"
            raise ConfigError(f"{listing}: holds {found}; expected one path below {self.base} per line")
        return names

    def _links(self, record: Record, dump: str) -> Iterator[Document | Skipped]:
        """Yield the documents of a WAT record; nothing for the metadata records of a WARC file."""
        if "json" not in record.media_type:
            return
        try:
            page = wat_page(record) if record.is_whole else None
        except DamagedWatError as damage:
            yield Skipped(reason="damaged_record", offset=record.offset, url=record.url, detail=str(damage))
            return
        if not record.is_whole:
            yield Skipped(reason="page_too_large", offset=record.offset, url=record.url)
        elif page is not None and (reason := _no_page(page)):
            yield Skipped(reason=reason, offset=record.offset, url=page.url)
        elif page is not None:
            origin = Origin(dump=dump, offset=record.offset, url=page.url, date=page.date)
            yield from _pairs(page, origin) if self.wat_documents == "pairs" else _page(page, origin)


def _no_page(page: WatPage) -> str:
    if page.status and not page.status.startswith("2"):
        return f"http_{page.status}" if page.status.isascii() and page.status.isdigit() else "bad_status"
    if not page.is_html:
        return "not_html"
    return "" if page.images else "no_image_with_alt"


def _page(page: WatPage, origin: Origin) -> Iterator[Document]:
    nodes: list[Node] = [TextNode(text=page.title)] if page.title else []
    for url, alt in page.images:
        nodes += [ImageNode(url=url, caption=alt), TextNode(text=alt)]
    yield new_document(tuple(nodes), origin)


def _pairs(page: WatPage, origin: Origin) -> Iterator[Document]:
    """Yield one document per pair: its id depends on the image and its text as well, as all share page and offset."""
    for url, alt in page.images:
        named = replace(origin, url=f"{origin.url}\n{url}\n{alt}")
        yield Document(
            id=document_id(named), nodes=(ImageNode(url=url, caption=alt), TextNode(text=alt)), origin=origin
        )


def _text(record: Record, dump: str) -> Document | Skipped:
    """Return the text of a WET record: its lines as they are, white space folded, none empty."""
    if not record.is_whole:
        return Skipped(reason="page_too_large", offset=record.offset, url=record.url)
    lines = [line for line in map(clean, record.block.decode("utf-8", "replace").split("\n")) if line]
    if not lines:
        return Skipped(reason="no_content", offset=record.offset, url=record.url)
    origin = Origin(dump=dump, offset=record.offset, url=record.url, date=record.date)
    return new_document((TextNode(text="\n".join(lines)),), origin)
