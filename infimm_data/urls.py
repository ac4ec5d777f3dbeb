"""When two URLs name the same capture: what crawlers write differently is made equal."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote, urlsplit

_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_IN_PATH = _UNRESERVED | frozenset("!$&'()*+,;=:@")


def url_key(url: str) -> str:
    """Return a key that is equal for URLs which differ only in what is documented here.

    Not told apart: http and https; the fragment; upper case in scheme and host; the default port; an empty path
    and "/"; percent-encoding of unreserved characters, of spaces and of non-ASCII characters (UTF-8), in the path
    also of what may stand there as itself (RFC 3986's pchar: Wikipedia's pages write %2C where its archive has a
    comma), and the case of hex digits. A URL that cannot be parsed is its own key.
    """
    try:
        parts = urlsplit(url.strip())
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        return url
    if parts.scheme not in ("http", "https") or not host:
        return url
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    at_port = f":{port}" if port is not None and port not in (80, 443) else ""
    query = f"?{_normal(parts.query, _UNRESERVED)}" if parts.query else ""
    return f"//{host}{at_port}{_normal(parts.path, _IN_PATH) or '/'}{query}"


_TRACKING = re.compile(
    r"(utm_\w+|gclid|gclsrc|dclid|fbclid|msclkid|yclid|igshid|mc_cid|mc_eid|_ga|_gl)(=|$)", re.IGNORECASE
)


def page_key(url: str) -> str:
    """Return a key that is equal for URLs which lead to one page or one image in all likelihood.

    As `url_key`, and not told apart either: "www." before the host; a slash at the end of the path; parameters that
    only say where a reader came from (utm_*, gclid, fbclid and their like). Other parameters, and their order, count.
    """
    key = url_key(url)
    if not key.startswith("//"):
        return key
    path, mark, query = key.removeprefix("//").removeprefix("www.").partition("?")
    kept = [parameter for parameter in query.split("&") if parameter and not _TRACKING.match(parameter)] if mark else []
    return f"//{path.rstrip('/')}{'?' if kept else ''}{'&'.join(kept)}"


def host(url: str) -> str:
    """Return the host of a URL in lower case without "www.", "" where it has none."""
    key = url_key(url)
    return key.removeprefix("//").removeprefix("www.").partition("/")[0] if key.startswith("//") else ""


def _normal(part: str, plain: frozenset[str]) -> str:
    """Return a part of a URL in which the characters of `plain`, and no others, stand as themselves."""

    def unescape(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in plain else f"%{match[1].upper()}"

    part = _ESCAPE.sub(unescape, part)
    return quote(part, safe="%/?:@!$&'()*+,;=-._~[]|{}^`\"<>\\", encoding="utf-8", errors="replace")
