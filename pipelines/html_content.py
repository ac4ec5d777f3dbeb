"""Which blocks of a page are its content: navigation, advertising, comments and other boilerplate go.

Regions are judged by tag, role, class and id names and by link density, never by name alone: a region that holds
most of the page's plain text stays whatever it is called. A page with a plain main element keeps that element
only; any other page keeps its whole body less the boilerplate. Where the strict rules leave next to nothing of a
page that has text, looser ones are asked, so nothing is lost where nothing is marked.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.html_blocks import Block, Container, Page
from pipelines.html_vocabulary import (
    BOILERPLATE_NAME,
    BOILERPLATE_ROLES,
    BOILERPLATE_TAGS,
    COMMENTS_NAME,
    CONTENT_NAME,
)

MAX_BOILERPLATE_SHARE = 0.5  # of the page's plain text: a region above it is content, whatever its name
MAX_LINK_DENSITY = 0.5  # characters in links / all characters
MIN_MAIN_SHARE = 0.25  # of the page's plain text that a main element must hold to be believed
MIN_KEPT_SHARE = 0.2  # of the page's plain text that a set of rules must keep to be believed
MIN_LISTING_REST = 0.3  # of the text that must stay without the link lists; below, the page is a list of links
_LISTS = frozenset(("ul", "ol", "div", "table", "section", "dl", "td", "form", "center"))


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a selection drops beside navigation and hidden regions."""

    names: bool
    comments: bool
    link_lists: bool
    noscript: bool


_STRICT_TO_LOOSE = (
    _Rules(names=True, comments=True, link_lists=True, noscript=True),
    _Rules(names=True, comments=False, link_lists=True, noscript=True),
    _Rules(names=True, comments=False, link_lists=False, noscript=True),
    _Rules(names=False, comments=False, link_lists=False, noscript=True),
    _Rules(names=False, comments=False, link_lists=False, noscript=False),
)


@dataclass(slots=True)
class _Size:
    """Characters of text below a container, and how many of them stand in links."""

    text: int = 0
    links: int = 0

    @property
    def plain(self) -> int:
        """Characters outside links."""
        return self.text - self.links


def content_blocks(page: Page) -> list[Block]:
    """Return the blocks of `page` that are content, in order."""
    visible = _inherit(page, [container.is_hidden for container in page.containers])
    sizes = _sizes(page, visible)
    best: list[Block] = []
    for rules in _STRICT_TO_LOOSE:
        blocks = _select(page, visible, sizes, rules)
        kept = _plain(blocks)
        if kept > 0 and kept >= MIN_KEPT_SHARE * sizes[0].plain:
            return blocks
        if kept > _plain(best) or not best:
            best = blocks
    return best


def _plain(blocks: list[Block]) -> int:
    return sum(len(block.text) - min(block.link_chars, len(block.text)) for block in blocks)


def _select(page: Page, hidden: list[bool], sizes: list[_Size], rules: _Rules) -> list[Block]:
    dropped = _boilerplate(page, hidden, sizes, rules)
    main = _main_container(page, dropped)
    inside = _below(page.containers, main)
    if rules.link_lists:
        # A page that is mostly links is a listing: they are its content.
        without = _without_link_lists(page, dropped, inside)
        before, after = _sizes(page, dropped)[main], _sizes(page, without)[main]
        is_listing = after.text < MIN_LISTING_REST * before.text
        dropped = dropped if is_listing else without
    return [block for block in page.blocks if inside[block.container] and not dropped[block.container]]


def _inherit(page: Page, dropped: list[bool]) -> list[bool]:
    """Drop everything below what is dropped."""
    dropped = list(dropped)
    for at in range(1, len(dropped)):
        dropped[at] = dropped[at] or dropped[page.containers[at].parent]
    return dropped


def _sizes(page: Page, dropped: list[bool]) -> list[_Size]:
    sizes = [_Size() for _ in page.containers]
    for block in page.blocks:
        if not dropped[block.container]:
            sizes[block.container].text += len(block.text)
            sizes[block.container].links += min(block.link_chars, len(block.text))
    for at in range(len(sizes) - 1, 0, -1):  # a parent stands before its children
        parent = sizes[page.containers[at].parent]
        parent.text += sizes[at].text
        parent.links += sizes[at].links
    return sizes


def _boilerplate(page: Page, hidden: list[bool], sizes: list[_Size], rules: _Rules) -> list[bool]:
    containers = page.containers
    dropped = list(hidden)
    limit = MAX_BOILERPLATE_SHARE * sizes[0].plain
    in_article = [False] * len(containers)
    for at in range(1, len(containers)):
        container = containers[at]
        in_article[at] = in_article[container.parent] or container.tag in ("article", "main")
        if dropped[container.parent]:
            dropped[at] = True
        elif not dropped[at] and _is_boilerplate(container, in_article[at], rules):
            dropped[at] = sizes[at].plain <= limit
    return dropped


def _is_boilerplate(container: Container, in_article: bool, rules: _Rules) -> bool:
    if container.tag == "noscript":
        return rules.noscript
    if container.tag in ("body", "main", "article", "td", "th"):
        return False
    if container.tag in BOILERPLATE_TAGS or container.role in BOILERPLATE_ROLES:
        return True
    if container.tag == "header":
        return not in_article
    if not container.names or not rules.names:
        return False
    if rules.comments and COMMENTS_NAME.search(container.names) is not None:
        return True
    return BOILERPLATE_NAME.search(container.names) is not None


def _main_container(page: Page, dropped: list[bool]) -> int:
    """Return the position of the element that holds the content; 0, the whole page, where none is marked."""
    sizes = _sizes(page, dropped)
    for is_main in (_is_article_body, _is_main, _is_article):
        found = [at for at, container in enumerate(page.containers) if not dropped[at] and is_main(container)]
        if found:
            largest = max(found, key=lambda at: (sizes[at].plain, -at))
            if sizes[largest].plain >= MIN_MAIN_SHARE * sizes[0].plain:
                return largest
    return 0


def _is_article_body(container: Container) -> bool:
    return bool(container.names) and CONTENT_NAME.search(container.names) is not None


def _is_main(container: Container) -> bool:
    return container.tag == "main" or container.role == "main"


def _is_article(container: Container) -> bool:
    return container.tag == "article"


def _below(containers: list[Container], root: int) -> list[bool]:
    inside = [False] * len(containers)
    inside[root] = True
    for at in range(root + 1, len(containers)):
        inside[at] = inside[containers[at].parent]
    return inside


def _without_link_lists(page: Page, dropped: list[bool], inside: list[bool]) -> list[bool]:
    """Also drop what is mostly links, inner regions first."""
    sizes = _sizes(page, dropped)
    linked = [False] * len(dropped)
    for at in range(len(dropped) - 1, 0, -1):
        container, size = page.containers[at], sizes[at]
        if dropped[at] or not inside[at] or not inside[container.parent] or container.tag not in _LISTS:
            continue
        if size.text > 0 and size.links > MAX_LINK_DENSITY * size.text:
            linked[at] = True
            above = container.parent
            while above >= 0:
                sizes[above].text -= size.text
                sizes[above].links -= size.links
                above = page.containers[above].parent
    return _inherit(page, [a or b for a, b in zip(dropped, linked, strict=True)])
