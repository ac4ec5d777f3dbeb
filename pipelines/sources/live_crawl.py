"""A live crawl: a list of page URLs and sitemaps, which the crawl pass fetches into WARC files below OUT/crawl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.errors import ConfigError, SourceError
from pipelines.archives.files import list_files
from pipelines.crawl.seeds import SUFFIXES, host_of, list_columns, part_of, read_urls
from pipelines.sources.contract import Preview, Skipped, WorkItem

MAX_PART_URLS = 2_000_000  # of one part, which are in memory: about half a gigabyte
# Of pages that nobody has seen yet, a dry run says what others have on average. Measured on 120 pages of seven kinds
# (../shared/data/html_wcxb_dev): their size as .warc.gz, the images that extraction finds, its pace on one core.
PAGE_BYTES = 35_000
IMAGES_PER_PAGE = 5.4
EXTRACT_S = 0.01
IMAGE_BYTES = 90_000  # as docs/scale.md assumes it


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCrawl:
    """path: a file, folder or glob of .txt (one URL per line), csv, tsv, JSON lines (also .gz) or Parquet lists.

    url_column: of the URLs in a table; sitemaps: URLs of sitemaps or of indexes of them; parts: work items, each
    with its own hosts, so that a host has one task and one pace; delay_s, max_delay_s, attempts, max_wait_s,
    page_images, max_pages_per_host: as `pipelines.crawl.settings.CrawlSettings`; segment_bytes: of one WARC file;
    max_page_bytes, max_image_bytes, max_depth: as `WebArchive`, which reads the files. Timeouts, sizes, user agent
    and concurrency (of each part) are those of the recipe's `fetch`.
    """

    listing: ClassVar[tuple[str, ...]] = ("path", "sitemaps")

    path: str | None = None
    url_column: str = "url"
    sitemaps: tuple[str, ...] = ()
    parts: int = 4
    delay_s: float = 1.0
    max_delay_s: float = 60.0
    attempts: int = 3
    max_wait_s: float = 120.0
    page_images: bool = False
    max_pages_per_host: int | None = None
    segment_bytes: int = 500_000_000
    max_page_bytes: int = 10_000_000
    max_image_bytes: int = 20_000_000
    max_depth: int = 10_000

    def __post_init__(self) -> None:
        """Raise ConfigError where there is nothing to crawl or a number is out of bounds."""
        if self.path is None and not self.sitemaps:
            raise ConfigError("give 'path' (a list of page URLs), 'sitemaps', or both")
        for name, least in (("parts", 1), ("attempts", 1), ("segment_bytes", 1), ("delay_s", 0), ("max_delay_s", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"'{name}' is {getattr(self, name)}: expected {least} or more")
        if self.parts > 100_000:
            raise ConfigError(f"'parts' is {self.parts}: expected at most 100000")

    def work_items(self) -> list[WorkItem]:
        """List the parts; raises ConfigError where a list is not there or has no such column."""
        self._lists()
        path = self.path or self.sitemaps[0]
        return [WorkItem(index=part, name=f"part-{part:05d}", path=path, size_bytes=0) for part in range(self.parts)]

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Count the URLs that would be asked for, and say what pages have on average and what their hosts' pace is."""
        hosts: Counter[str] = Counter()
        columns: tuple[str, ...] = ()
        try:
            for _, path, _ in self._lists():
                columns = list_columns(path) or columns
                hosts.update(host_of(url) for url in read_urls(path, self.url_column))
        except SourceError as error:
            return Preview(how=f"the list cannot be read: {error}")
        more = f", and what {len(self.sitemaps)} sitemaps list" if self.sitemaps else ""
        if not hosts:
            return Preview(columns=columns, how=f"no URL in a list{more}; a crawl tells how many")
        pages = [
            number if self.max_pages_per_host is None else min(number, self.max_pages_per_host)
            for number in hosts.values()
        ]
        images = round(sum(pages) * IMAGES_PER_PAGE)
        asked = max(pages) * (1 + IMAGES_PER_PAGE * self.page_images) * self.delay_s
        taken = f"{asked / 3600:.1f} h" if asked >= 3600 else f"{asked:.0f} s"
        with_images = "with its images " if self.page_images else ""
        return Preview(
            size_bytes=sum(pages) * PAGE_BYTES + images * IMAGE_BYTES * self.page_images,
            columns=columns,
            num_documents=sum(pages),
            num_images=images,
            seconds=sum(pages) * EXTRACT_S,
            how=f"URLs of {len(hosts)} hosts{more}; the largest takes {with_images}{taken} to crawl at "
            f"{self.delay_s:g} s a request; {PAGE_BYTES // 1000} kB and {IMAGES_PER_PAGE} images a page, as pages "
            "have on average",
        )

    def seeds(self, part: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return host -> pages, and host -> sitemaps, of the hosts that belong to a part.

        Raises SourceError where a list cannot be read, or holds more for one part than fits into memory.
        """
        pages: dict[str, list[str]] = {}
        found = 0
        for _, path, _ in self._lists():
            for url in read_urls(path, self.url_column):
                if part_of(host := host_of(url), self.parts) != part:
                    continue
                pages.setdefault(host, []).append(url)
                if (found := found + 1) > MAX_PART_URLS:
                    raise SourceError(f"{path}: over {MAX_PART_URLS} URLs for one part; set 'parts' higher")
        sitemaps: dict[str, list[str]] = {}
        for url in self.sitemaps:
            if part_of(host := host_of(url), self.parts) == part:
                sitemaps.setdefault(host, []).append(url)
        return pages, sitemaps

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Raise SourceError: a part of a list is no archive yet. The crawl pass puts `WebArchive` in our place."""
        raise SourceError(f"{item.name}: not crawled yet; run 'infimm crawl RECIPE --out OUT'")

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing, for the same reason."""
        yield from ()

    def _lists(self) -> list[tuple[str, str, int]]:
        if self.path is None:
            return []
        lists = list_files(self.path, kind="live_crawl", suffixes=SUFFIXES)
        for _, path, _ in lists:
            try:
                columns = list_columns(path)
            except SourceError as error:
                raise ConfigError(str(error)) from None
            if columns and self.url_column not in columns:
                found = ", ".join(columns)[:200]
                raise ConfigError(f"{path}: no column {self.url_column!r}; it has {found}. Set 'url_column'.")
        return lists
