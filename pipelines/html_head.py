"""What a page says of itself in its head: title, description, kind, base address and licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

_LICENCE_HOST = "creativecommons.org/"
_MAX_CHARS = 2_000  # of a title or description; longer ones say nothing more


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """url: of the page; base_url: what its addresses stand against; title, description: texts; kind: og:type;
    image: address of og:image; licence: address of the licence that the page links to.
    """

    url: str
    base_url: str = ""
    title: str = ""
    description: str = ""
    kind: str = ""
    image: str = ""
    licence: str = ""


def read_head(tree: Any, url: str) -> Head:
    """Return the head of a parsed page (a selectolax parser); what the page does not say is ""."""
    said: dict[str, str] = {}
    for node in tree.css("meta[property][content], meta[name][content]"):
        attributes = node.attributes
        name = (attributes.get("property") or attributes.get("name") or "").lower()
        said.setdefault(name, (attributes.get("content") or "")[:_MAX_CHARS])
    title = tree.css_first("title")
    return Head(
        url=url,
        base_url=_base_url(tree, url),
        title=said.get("og:title") or (title.text()[:_MAX_CHARS] if title is not None else ""),
        description=said.get("og:description") or said.get("description", ""),
        kind=said.get("og:type", ""),
        image=said.get("og:image", ""),
        licence=_licence(tree),
    )


def _base_url(tree: Any, url: str) -> str:
    base = tree.css_first("base[href]")
    href = (base.attributes.get("href") or "").strip() if base is not None else ""
    try:
        joined = urljoin(url, href)
    except ValueError:
        return url
    return joined if joined.startswith(("http://", "https://")) else url


def _licence(tree: Any) -> str:
    for node in tree.css("link[rel~=license], a[rel~=license]"):
        href = (node.attributes.get("href") or "").strip()
        if _LICENCE_HOST in href or node.tag == "link":
            return str(href[:300])
    return ""
