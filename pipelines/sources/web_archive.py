"""Web archives (WARC, ARC, WACZ): every 2xx HTML response is a document, everything else is counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from infimm_data.document import Document
from pipelines.archives.files import list_files, open_archive, read_archive
from pipelines.archives.images import archive_images, image_index
from pipelines.pages import PageReader, inline_images
from pipelines.sources.contract import Skipped, WorkItem


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
        pages = PageReader(max_page_bytes=self.max_page_bytes, max_depth=self.max_depth)
        with open_archive(item.path) as file:
            index = image_index(file, item.name)
            file.seek(0)
            for dump, record in read_archive(file, item.name, pages.keep):
                if (answer := pages.read(record, dump, index.holds)) is not None:
                    yield answer

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (wanted URL, image file) from `data:` URIs and from the archive's own records.

        A URL is looked up exactly, then by `infimm_data.urls.url_key` (http and https, fragment,
        percent-encoding and default port are not told apart), through redirects and revisit records.
        """
        yield from inline_images(urls, self.max_image_bytes)
        stored = [url for url in urls if url[:5].lower() != "data:"]
        if not stored:
            return
        with ExitStack() as opened:

            def open_file() -> BinaryIO:
                return opened.enter_context(open_archive(item.path))

            yield from archive_images(open_file, item.name, stored, self.max_image_bytes)
