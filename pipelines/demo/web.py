"""What the demo's small web consists of: sites, pages, articles and the pictures that pages show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipelines.demo.scene import Scene

Stored = Literal["archive", "http", "none"]
"""Where the bytes of a picture are: a record of the archive, the picture server, or nowhere (404, hostile)."""

PICTURE_HOSTS = ("pictures.example", "img-cdn.example")
"""Hosts whose pictures are in no archive: the demo's server has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that a page shows. scene: what it shows (None: no drawn scene); matches: whether the text says so.

    problem: a slug where fetching or decoding must fail or be refused ("truncated", "not_found") or a filter must
    act ("aspect", "too_frequent"), or "". moved_to: the address to which the archive says it has moved, or "".
    """

    url: str
    body: bytes = b""
    content_type: str = ""
    scene: Scene | None = None
    matches: bool | None = None
    stored: Stored = "none"
    problem: str = ""
    moved_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A picture in its place in an article, with what the page says about it there."""

    picture: Picture
    alt: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading between paragraphs."""

    text: str


Block = str | Heading | Placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """An article before it is laid out: its paragraphs, headings and pictures in order."""

    title: str
    blocks: tuple[Block, ...]
    language: str = "en"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures of the article, in order."""
        return tuple(block.picture for block in self.blocks if isinstance(block, Placed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A host with its own layout. layout: name of a function in `pipelines.demo.layouts.LAYOUTS`."""

    host: str
    name: str
    layout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A response of the archive. kind: the label of the truth file; coding: "", "gzip" or "chunked".

    language: ISO 639-1, or "" where the page has no text to speak of.
    """

    url: str
    kind: str
    body: bytes
    language: str = ""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    coding: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    pictures: tuple[Picture, ...] = field(default=())


SITES = (
    Site(host="shapes-daily.example", name="Shapes Daily", layout="semantic"),
    Site(host="www.paper-and-ink.example", name="Paper & Ink", layout="blog"),
    Site(host="atelier-north.example", name="Atelier North", layout="div_soup"),
    Site(host="geometry-class.example", name="Geometry Class", layout="semantic"),
    Site(host="thequietsheet.example", name="The Quiet Sheet", layout="magazine"),
    Site(host="drawing-club.example", name="Drawing Club", layout="blog"),
    Site(host="plain-pages.example", name="Plain Pages", layout="table"),
    Site(host="museum-of-paper.example", name="Museum of Paper", layout="magazine"),
    Site(host="stencil-news.example", name="Stencil News", layout="div_soup"),
    Site(host="little-posters.example", name="Little Posters", layout="blog"),
    Site(host="old-fenwick-school.example", name="Old Fenwick School", layout="table"),
    Site(host="composition.example", name="Composition", layout="semantic"),
)

TROUBLE = {
    "/trouble/gone.jpg": "not_found",
    "/trouble/error.jpg": "server_error",
    "/trouble/loop.jpg": "redirect_loop",
    "/trouble/to-loopback.png": "private_address",
    "/trouble/to-private.png": "private_address",
    "/trouble/slow.jpg": "slow",
    "/trouble/short.jpg": "short_body",
    "/trouble/page.png": "not_an_image",
    "/trouble/huge.png": "oversized",
    "/trouble/opt-out.jpg": "opted_out",
}
"""Paths of the first picture host whose answer is no picture to keep -> what is wrong with it."""

MOVED = "/moved/"
"""Prefix under which a picture host redirects to the path that follows it."""
