"""Crawls one part: its hosts side by side, the pages of each one after the other, every visit into the archive."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from yarl import URL

from pipelines.archives.http_message import BodyTooLargeError, DamagedBodyError, HttpMessage, decoded_body, http_message
from pipelines.archives.records import Record
from pipelines.crawl.archive import Kind, PartArchive
from pipelines.crawl.exchange import Exchange
from pipelines.crawl.polite import MAX_DEAD, GaveUpError, PoliteClient
from pipelines.crawl.reservations import PATH, Rule, is_reserved, read_reservations
from pipelines.crawl.robots import MAX_ROBOTS_BYTES, MAX_ROBOTS_REDIRECTS, Robots, read_robots, refuses_use
from pipelines.crawl.settings import CrawlSettings
from pipelines.crawl.sitemap import MAX_SITEMAP_BYTES, BadSitemapError, read_sitemap
from pipelines.extract import decode_html, extract_html
from pipelines.html_limits import parsing_hazard
from pipelines.http_session import REDIRECTS, ConnectTo, Refused, check_url, joined

HOSTS_PER_PLACE = 8  # hosts under way per request that may be: most of a host's time is its pause
MAX_SITEMAP_DEPTH = 2  # of an index of indexes; sitemaps.org allows one level
MAX_IMAGES_PER_PAGE = 200
MAX_ROBOTS_DECODED_BYTES = 1 << 24
MAX_PAGE_DECODED_BYTES = 1 << 25
MAX_HTML_DEPTH = 10_000
ROBOTS_LIFE = timedelta(hours=24)  # RFC 9309, 2.4
_MAX_ROBOTS = 5_000  # origins whose rules are in memory
_OF_THE_HOST = frozenset({"private_address", "unknown_host", "bad_certificate"})  # true of its pages as well
_PAGES = ("text/html", "application/xhtml+xml", "")  # media types
_Rules = tuple[Robots, tuple[Rule, ...]]  # and what tdmrep.json reserves
_ACCEPT: Mapping[Kind, str] = {
    "page": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5",
    "image": "image/*,*/*;q=0.5",
    "robots": "text/plain,*/*;q=0.5",
    "tdmrep": "application/json,*/*;q=0.5",
    "sitemap": "application/xml,text/xml,text/plain,*/*;q=0.5",
}


async def crawl_part(
    archive: PartArchive, pages: Mapping[str, Sequence[str]], sitemaps: Mapping[str, Sequence[str]],
    settings: CrawlSettings, connect_to: ConnectTo,
) -> None:  # fmt: skip
    """Visit every page and every page that the sitemaps list, unless the archive holds it; hosts as their keys.

    Memory: the URLs given and listed, and the bodies of the visits under way.
    """
    client = PoliteClient(settings, connect_to)
    try:
        crawler = _Crawler(archive, settings, client)
        waiting = deque(dict.fromkeys([*pages, *sitemaps]))
        under_way: set[asyncio.Task[None]] = set()
        while waiting or under_way:
            while waiting and len(under_way) < HOSTS_PER_PLACE * settings.fetch.concurrency:
                host = waiting.popleft()
                task = asyncio.create_task(crawler.host(host, pages.get(host, ()), sitemaps.get(host, ())))
                under_way.add(task)
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # what only a bug or a full disk raises ends the part
    finally:
        await client.close()


class _Crawler:
    def __init__(self, archive: PartArchive, settings: CrawlSettings, client: PoliteClient) -> None:
        self._archive, self._settings, self._client = archive, settings, client
        self._rules: OrderedDict[str, asyncio.Task[_Rules]] = OrderedDict()
        self._images: set[str] = set()  # under way: two pages may show the same at once

    async def host(self, host: str, pages: Sequence[str], sitemaps: Sequence[str]) -> None:
        """Visit the pages of one host, those that its sitemaps list after those given."""
        left: deque[str] = deque(dict.fromkeys(pages))
        for sitemap in sitemaps:
            left.extend(await self._listed(host, sitemap, MAX_SITEMAP_DEPTH))
        seen: set[str] = set()
        while left and (self._settings.max_pages_per_host is None or len(seen) < self._settings.max_pages_per_host):
            url = left.popleft()
            if url not in seen:
                seen.add(url)
                if not self._archive.holds("page", url):
                    await self._page(host, url)

    async def _page(self, host: str, url: str) -> None:
        if self._client.host(host).dead >= MAX_DEAD:
            self._archive.append("page", url, "host_given_up", (), keeps_last=False)
            return
        outcome, exchanges = await self._visit("page", url)
        html, charset = _html(exchanges[-1]) if outcome == "ok" else (b"", None)
        headers = exchanges[-1].headers if exchanges else {}
        if outcome == "ok" and refuses_use(headers, decode_html(html, charset) if html else "", self._settings.agent):
            outcome = "opted_out"
        if outcome == "ok" and html and self._settings.page_images:
            # Before the page itself is written: a crawl that is killed here visits the page again, and only it.
            await self._images_of(html, exchanges[-1].url, charset)
        self._append("page", url, outcome, exchanges)

    async def _images_of(self, html: bytes, url: str, charset: str | None) -> None:
        if parsing_hazard(html, MAX_HTML_DEPTH) is not None:
            return
        document = extract_html(html, url, charset=charset)
        found = dict.fromkeys(image.url for image in document.images) if document else {}
        urls = [image for image in found if image.startswith("http") and image not in self._images]
        urls = [image for image in urls if not self._archive.holds("image", image)][:MAX_IMAGES_PER_PAGE]
        self._images.update(urls)
        await asyncio.gather(*(self._image(image) for image in urls))
        self._images.difference_update(urls)

    async def _image(self, url: str) -> None:
        outcome, exchanges = await self._visit("image", url)
        if outcome == "ok" and refuses_use(exchanges[-1].headers, "", self._settings.agent):
            outcome = "opted_out"
        self._append("image", url, outcome, exchanges)

    def _append(self, kind: Kind, url: str, outcome: str, exchanges: Sequence[Exchange]) -> None:
        self._archive.append(kind, url, outcome, exchanges, keeps_last=outcome not in ("opted_out", "too_many_bytes"))

    async def _visit(self, kind: Kind, url: str) -> tuple[str, list[Exchange]]:
        """Ask for a URL, and for where it leads; return how it came out ("ok" or a slug) and every exchange."""
        exchanges: list[Exchange] = []
        limit = MAX_SITEMAP_BYTES if kind == "sitemap" else self._settings.fetch.max_bytes
        try:
            for _ in range(self._settings.fetch.max_redirects + 1):
                asked = check_url(url, self._settings.fetch)
                await self._check_rules(kind, asked)
                exchange = await self._client.ask(asked, accept=_ACCEPT[kind], max_bytes=limit)
                exchanges.append(exchange)
                if exchange.status not in REDIRECTS:
                    outcome = "too_many_bytes" if exchange.is_cut else f"http_{exchange.status}"
                    return ("ok" if outcome == "http_200" else outcome), exchanges
                url = joined(asked, exchange.headers.get("location", [""])[0])
        except (Refused, GaveUpError) as problem:
            return problem.reason, exchanges
        return "too_many_redirects", exchanges

    async def _check_rules(self, kind: Kind, url: URL) -> None:
        """Raise Refused where a host does not want the request, or wants more patience than we have."""
        robots, reserved = await self._rules_of(url.origin())
        if robots.rules is None:
            raise Refused(robots.problem)
        if not robots.allows(str(url)):
            raise Refused("robots_disallows")
        if robots.delay_s > self._settings.max_delay_s:
            raise Refused("crawl_delay_too_long")
        host = self._client.host(url.raw_host or "")
        host.delay_s = max(self._settings.delay_s, robots.delay_s)
        if kind != "sitemap" and is_reserved(reserved, url.raw_path_qs):
            raise Refused("opted_out")

    async def _rules_of(self, origin: URL) -> _Rules:
        """Return the rules of an origin, asked for once; whoever comes meanwhile waits for the same answer."""
        key = str(origin)
        if key not in self._rules:
            self._rules[key] = asyncio.create_task(self._read_rules(origin))
            while len(self._rules) > _MAX_ROBOTS and next(iter(self._rules.values())).done():
                self._rules.popitem(last=False)
        self._rules.move_to_end(key)
        return await self._rules[key]

    async def _read_rules(self, origin: URL) -> _Rules:
        response, outcome = await self._file("robots", str(origin.with_path("/robots.txt")))
        if response is None:
            robots = Robots(None, self._settings.agent)
            return replace(robots, problem=outcome if outcome in _OF_THE_HOST else robots.problem), ()
        robots = self._read_robots(response)
        url = str(origin.with_path(PATH))
        if not self._settings.fetch.tdmrep or not robots.allows(url):
            return robots, ()
        response, _ = await self._file("tdmrep", url)
        message = _message(response or b"")
        if message.status != 200:
            return robots, ()
        return robots, read_reservations(_decoded(message, MAX_ROBOTS_DECODED_BYTES) or b"", origin.raw_host or "")

    async def _file(self, kind: Kind, first: str) -> tuple[bytes | None, str]:
        """Return the answer for a file of rules, None for none, and how asking came out; a young answer is kept."""
        stored = self._archive.stored(kind, first)
        if stored is not None and datetime.now(UTC) - datetime.fromisoformat(stored[0]) < ROBOTS_LIFE:
            return stored[1], "stored"
        url, response, outcome = first, None, "too_many_redirects"
        exchanges: list[Exchange] = []
        try:
            for _ in range(MAX_ROBOTS_REDIRECTS + 1):
                asked = check_url(url, self._settings.fetch)
                exchange = await self._client.ask(asked, accept=_ACCEPT[kind], max_bytes=MAX_ROBOTS_BYTES)
                exchanges.append(exchange)
                outcome = f"http_{exchange.status}"
                if exchange.status not in REDIRECTS:
                    response = exchange.response
                    break
                url = joined(asked, exchange.headers.get("location", [""])[0])
        except (Refused, GaveUpError) as problem:
            outcome = problem.reason
        # A page in the place of a tdmrep.json is not kept: a build would take it for one of the host's pages.
        is_page = kind == "tdmrep" and outcome == "http_200" and exchanges[-1].media_type in _PAGES
        self._archive.append(kind, first, outcome, exchanges, keeps_last=not is_page)
        return response, outcome

    def _read_robots(self, response: bytes) -> Robots:
        message = _message(response)
        body = _decoded(message, MAX_ROBOTS_DECODED_BYTES)
        status = message.status or 500
        # Rules that cannot be unpacked are rules all the same: we may not guess what they allow.
        return read_robots(500 if body is None and status < 300 else status, body or b"", self._settings.agent)

    async def _listed(self, host: str, sitemap: str, depth: int) -> list[str]:
        """Return the pages of this host that a sitemap lists, and those of the sitemaps that it names."""
        stored = self._archive.stored("sitemap", sitemap)
        if stored is not None:
            block = stored[1]
        elif self._archive.holds("sitemap", sitemap):
            return []  # visited, and no answer
        else:
            outcome, exchanges = await self._visit("sitemap", sitemap)
            self._append("sitemap", sitemap, outcome, exchanges)
            if outcome != "ok":
                return []
            block = exchanges[-1].response
        try:
            found = read_sitemap(_decoded(_message(block), MAX_SITEMAP_BYTES) or b"")
        except BadSitemapError:
            return []
        pages = [url for url in found.pages if _is_on(host, url)]
        if depth:
            for url in found.sitemaps:
                if _is_on(host, url):
                    pages += await self._listed(host, url, depth - 1)
        return pages


def _is_on(host: str, url: str) -> bool:
    """Say whether a URL is on a host: a sitemap speaks for its own only (sitemaps.org, Sitemap file location)."""
    try:
        return URL(url).raw_host == host
    except ValueError:
        return False


def _message(block: bytes) -> HttpMessage:
    return http_message(
        Record(offset=0, kind="response", url="", date="", media_type="", block=block, size_bytes=len(block))
    )


def _decoded(message: HttpMessage, max_bytes: int) -> bytes | None:
    """Return the body with its encodings undone; None where it is broken or too large."""
    try:
        return decoded_body(message, max_bytes)
    except (BodyTooLargeError, DamagedBodyError):
        return None


def _html(exchange: Exchange) -> tuple[bytes, str | None]:
    """Return the page of an answer and its charset; b"" for what is no page."""
    if exchange.media_type not in _PAGES:
        return b"", None
    message = _message(exchange.response)
    return _decoded(message, MAX_PAGE_DECODED_BYTES) or b"", message.charset
