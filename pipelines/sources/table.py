"""Every source by its name in a recipe."""

from __future__ import annotations

from pipelines.sources.common_crawl import CommonCrawl
from pipelines.sources.common_crawl_index import CommonCrawlIndex
from pipelines.sources.contract import Source
from pipelines.sources.live_crawl import LiveCrawl
from pipelines.sources.web_archive import WebArchive

SOURCES: dict[str, type[Source]] = {
    "common_crawl": CommonCrawl,
    "common_crawl_index": CommonCrawlIndex,
    "live_crawl": LiveCrawl,
    "web_archive": WebArchive,
}
