"""What a host allows: robots.txt as RFC 9309 reads it, and opting out in headers and in the page itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from protego import Protego

from pipelines.http_session import refusing_directive

MAX_ROBOTS_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB are to be read
MAX_ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2
_META = re.compile(r"<meta\b([^>]{0,1000})>", re.I)
_ATTRIBUTE = re.compile(r"([\w-]{1,40})\s*=\s*(?:\"([^\"]{0,500})\"|'([^']{0,500})'|([^\s\"'>]{1,500}))")
_META_WINDOW = 65_536  # characters at the start of a page in which its head is looked for


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one origin for one agent; rules None: all is disallowed, as they could not be read (`problem`)."""

    rules: Protego | None
    agent: str
    problem: str = "robots_unreachable"

    def allows(self, url: str) -> bool:
        """Say whether the agent may ask for a URL."""
        return self.rules is not None and bool(self.rules.can_fetch(url, self.agent))

    @property
    def delay_s(self) -> float:
        """Seconds between two requests that the host asks for, 0 where it asks for none."""
        return (self.rules.crawl_delay(self.agent) if self.rules is not None else None) or 0.0


def read_robots(status: int, body: bytes, agent: str) -> Robots:
    """Return the rules that an answer for /robots.txt states (RFC 9309, 2.3.1).

    2xx: its rules; another 4xx than 429: none, all is allowed; everything else: all is disallowed.
    """
    if 200 <= status < 300:
        return Robots(Protego.parse(body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace")), agent)
    if 400 <= status < 500 and status != 429:
        return Robots(Protego.parse(""), agent)
    return Robots(None, agent)


def refuses_use(headers: Mapping[str, list[str]], html: str, agent: str) -> bool:
    """Say whether an answer refuses this use: X-Robots-Tag, tdm-reservation, or a <meta> element that says the same.

    The element's name is "robots", our own name, or "tdm-reservation".

    headers: all values by name in lower case; html: of the page, "" for what is none.
    """
    if refusing_directive(headers.get("x-robots-tag", []), headers.get("tdm-reservation", [])):
        return True
    for tag in _META.finditer(html[:_META_WINDOW]):
        found = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(tag[1])}
        name, content = found.get("name", "").lower(), [found.get("content", "")]
        tags, reservations = content if name in ("robots", agent) else (), content if name == "tdm-reservation" else ()
        if refusing_directive(tags, reservations):
            return True
    return False
