"""Which blocks of a page are its content: navigation, advertising, comments and other boilerplate go.

Regions are judged by tag, role, class and id names and by link density; a region that holds most of the page's
text is never dropped for its name. A page with a plain main element keeps that element only; any other page keeps
its whole body less the boilerplate, so nothing is lost where nothing is marked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.html_walk import Block, Container, Page

_WORDS = (
    r"nav|navbar|navigation|menu|submenu|megamenu|topbar|toolbar|sidebar|side[-_]?bar|rail|breadcrumbs?|crumbs?|footer|foot|masthead|"
    r"share|sharing|sharebar|social|follow|cookies?|consent|gdpr|ccpa|banner|ad|ads|advert|advertisement|adsense|"
    r"sponsor|sponsored|promo|promotion|outbrain|taboola|related|recommended|recommendations?|popular|trending|"
    r"comments?|comment[-_]?list|disqus|respond|replies|newsletter|subscribe|subscription|signup|sign[-_]?up|login|modal|popup|overlay|"
    r"pagination|pager|paging|tags|tagcloud|search|widget|widgets|skip|skip[-_]?link|copyright|disclaimer|print[-_]?only|"
    r"sr[-_]?only|visually[-_]?hidden|screen[-_]?reader[-_]?text|noprint|toc|author[-_]?box|author[-_]?bio"
)
_BOILERPLATE_NAME = re.compile(rf"(?:^|[\s_-])(?:{_WORDS})(?=$|[\s_-])", re.I)
_BOILERPLATE_ROLES = frozenset(
    "navigation banner contentinfo complementary search menu menubar dialog alertdialog toolbar tablist".split()
)
_BOILERPLATE_TAGS = frozenset(("nav", "footer", "aside", "menu"))
_CONTENT_NAME = re.compile(
    r"(?:^|[\s_-])(?:article[-_]?body|articlebody|post[-_]?content|entry[-_]?content|article[-_]?content|"
    r"story[-_]?body|post[-_]?body|mw[-_]?parser[-_]?output|page[-_]?content|main[-_]?content|blog[-_]?post)(?=$|[\s_-])",
    re.I,
)

MAX_BOILERPLATE_SHARE = 0.5  # of the page's text: a region above it is content, whatever its name
MAX_LINK_DENSITY = 0.5  # characters in links / all characters
MIN_MAIN_SHARE = 0.25  # of the page's text that a main element must hold to be believed


@dataclass(slots=True)
class _Size:
    """Characters of text below a container, and how many of them stand in links."""

    text: int = 0
    links: int = 0


def content_blocks(page: Page) -> list[Block]:
    """Return the blocks of `page` that are content, in order."""
    containers = page.containers
    dropped = _boilerplate(page)
    main = _main_container(page, dropped)
    inside = _below(containers, main)
    _drop_link_lists(page, dropped)
    return [block for block in page.blocks if inside[block.container] and not dropped[block.container]]


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


def _boilerplate(page: Page) -> list[bool]:
    containers = page.containers
    dropped = [container.is_hidden for container in containers]
    for at in range(1, len(containers)):
        dropped[at] = dropped[at] or dropped[containers[at].parent]
    sizes = _sizes(page, dropped)
    total = sizes[0].text
    in_article = [False] * len(containers)
    for at in range(1, len(containers)):
        container = containers[at]
        in_article[at] = in_article[container.parent] or container.tag in ("article", "main")
        if dropped[container.parent]:
            dropped[at] = True
        elif not dropped[at] and _is_boilerplate(container, in_article[at]):
            dropped[at] = sizes[at].text <= MAX_BOILERPLATE_SHARE * total
    return dropped


def _is_boilerplate(container: Container, in_article: bool) -> bool:
    if container.tag in ("body", "main", "article", "td", "th"):
        return False
    if container.tag in _BOILERPLATE_TAGS or container.role in _BOILERPLATE_ROLES:
        return True
    if container.tag == "header":
        return not in_article
    return bool(container.names) and _BOILERPLATE_NAME.search(container.names) is not None


def _main_container(page: Page, dropped: list[bool]) -> int:
    """Return the position of the element that holds the content; 0, the whole page, where none is marked."""
    sizes = _sizes(page, dropped)
    total = sizes[0].text
    best = 0
    for is_main in (_is_article_body, _is_main, _is_article):
        found = [at for at, container in enumerate(page.containers) if not dropped[at] and is_main(container)]
        if found:
            largest = max(found, key=lambda at: (sizes[at].text, -at))
            if sizes[largest].text >= MIN_MAIN_SHARE * total:
                return largest
    return best


def _is_article_body(container: Container) -> bool:
    return bool(container.names) and _CONTENT_NAME.search(container.names) is not None


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


def _drop_link_lists(page: Page, dropped: list[bool]) -> None:
    sizes = _sizes(page, dropped)
    for at in range(1, len(page.containers)):
        container = page.containers[at]
        if dropped[container.parent]:
            dropped[at] = True
        elif not dropped[at] and container.tag in ("ul", "ol", "div", "table", "section", "dl", "td"):
            size = sizes[at]
            dropped[at] = size.links > MAX_LINK_DENSITY * size.text and size.text > 0
