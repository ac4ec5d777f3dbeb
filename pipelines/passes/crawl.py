"""Crawl pass: the list of a live crawl -> WARC files below OUT/crawl, from which the build then goes on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from infimm_data.errors import ConfigError, SourceError
from infimm_data.files import exists, file_system, identity, read_bytes, write_bytes
from infimm_data.tables import fingerprint
from pipelines.archives.files import list_files
from pipelines.crawl.archive import PartArchive
from pipelines.crawl.crawler import crawl_part
from pipelines.crawl.seeds import SUFFIXES
from pipelines.crawl.settings import CrawlSettings
from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import ConnectTo
from pipelines.layout import Layout
from pipelines.rates import IN
from pipelines.run import Run
from pipelines.sources.contract import WorkItem
from pipelines.sources.live_crawl import LiveCrawl
from pipelines.sources.web_archive import WebArchive

VERSION = 1
_ARCHIVE_FIELDS = ("max_page_bytes", "max_image_bytes", "max_depth")


def crawl(run: Run) -> None:
    """Crawl what is not crawled yet, and put the archives in the place of the list; other sources are left alone.

    Raises ConfigError where OUT is no local folder or was crawled with another number of parts.
    """
    source = run.recipe.source
    if not isinstance(source, LiveCrawl):
        return
    _check_place(run.layout, source.parts)
    todo = []
    for item in run.items:
        print_ = _print(source, item)
        if _finished(run.layout, item.index).get("print") != print_:
            todo.append((item, (source, item, run.layout, run.recipe.fetch, run.connect_to, print_)))
    run.go("crawl", crawl_item, todo, counted=_visits)
    if run.items:
        if not any(Path(run.layout.crawl).glob("*.warc.gz")):
            raise ConfigError(
                f"{run.recipe.path}: the lists and sitemaps of the crawl hold no URL; nothing was asked for"
            )
        archives = WebArchive(path=run.layout.crawl, **{name: getattr(source, name) for name in _ARCHIVE_FIELDS})
        run.recipe = dataclasses.replace(run.recipe, source=archives)
        run.items = archives.work_items()


def crawl_item(
    source: LiveCrawl, item: WorkItem, layout: Layout, fetch: FetchSettings, connect_to: ConnectTo, print_: str
) -> dict[str, dict[str, int]]:
    """Crawl one part to its end; return how many visits of each kind came out how, over all runs."""
    pages, sitemaps = source.seeds(item.index)
    names = (field.name for field in dataclasses.fields(CrawlSettings) if field.name != "fetch")
    settings = CrawlSettings(fetch=fetch, **{name: getattr(source, name) for name in names})
    archive = PartArchive(Path(layout.crawl), item.index, source.segment_bytes)
    try:
        asyncio.run(crawl_part(archive, pages, sitemaps, settings, connect_to))
    except OSError as error:
        raise SourceError(f"{layout.crawl}: cannot be written ({error}); check the disk and run again") from None
    archive.close()
    counts: dict[str, dict[str, int]] = {}
    for (kind, outcome), number in sorted(archive.counts.items()):
        counts.setdefault(kind, {})[outcome] = number
    write_bytes(layout.crawled(item.index), json.dumps({"print": print_, "counts": counts}, indent=1).encode())
    return counts


def _visits(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many visits there were, and what kept those from a result that have none."""
    found: Counter[str] = Counter()
    for of_kind in counts.values():
        found.update(of_kind)
    return {IN: found.total(), **{outcome: number for outcome, number in found.items() if outcome != "ok"}}


def outcomes(layout: Layout, parts: int) -> dict[str, Counter[str]]:
    """Return how the visits of all finished parts came out: kind -> outcome -> number."""
    found: dict[str, Counter[str]] = {}
    for part in range(parts):
        for kind, counts in _finished(layout, part).get("counts", {}).items():
            found.setdefault(kind, Counter()).update(counts)
    return found


def _print(source: LiveCrawl, item: WorkItem) -> str:
    """Return the fingerprint of a part: the lists as they are now, and what of them is wanted."""
    lists = list_files(source.path, kind="live_crawl", suffixes=SUFFIXES) if source.path is not None else []
    files = [(name, identity(path)) for name, path, _ in lists]
    wanted = (source.url_column, source.sitemaps, source.page_images, source.max_pages_per_host)
    return fingerprint("crawl", VERSION, item.name, files, *wanted)


def _finished(layout: Layout, part: int) -> dict[str, Any]:
    path = layout.crawled(part)
    return dict(json.loads(read_bytes(path))) if exists(path) else {}


def _check_place(layout: Layout, parts: int) -> None:
    """Write down the number of parts with the first run, by which hosts and files belong together ever after."""
    filesystem, _ = file_system(layout.crawl)
    if not isinstance(filesystem, LocalFileSystem):
        raise ConfigError(f"--out {layout.out}: a crawl appends to its files; expected a local folder, copy it later")
    note = layout.crawled_parts
    if exists(note) and (before := json.loads(read_bytes(note))["parts"]) != parts:
        raise ConfigError(f"{layout.crawl}: was crawled with 'parts: {before}', found {parts}; keep it, or another OUT")
    write_bytes(note, json.dumps({"parts": parts}).encode())
