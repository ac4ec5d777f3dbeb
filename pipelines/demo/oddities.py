"""What a crawl holds beside articles: broken pictures, hostile addresses, odd encodings, bombs, records of no page."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from pipelines.demo.captions import describe, paragraph
from pipelines.demo.layouts import render
from pipelines.demo.pages import article_page, new_picture, seeded
from pipelines.demo.pictures import encode
from pipelines.demo.prose import fillers, title
from pipelines.demo.scene import Scene, random_scene
from pipelines.demo.web import MOVED, PICTURE_HOSTS, SITES, TROUBLE, Article, Block, Page, Picture, Placed, Site

BROKEN_IMAGES, MOVED_IMAGES, SHARED_PICTURES = 16, 16, 25
NESTING = 5_000  # <div>s inside each other
BOMB_SIDE = 30_000  # pixels: 2.7 GB of RGB when decoded
_PRIVATE = (
    "http://127.0.0.1:9/x.png", "http://169.254.169.254/latest/meta-data/", "http://[::1]/x.png",
    "http://localhost/x.png", "http://10.0.0.1/x.png", "http://0x7f000001/x.png", "http://2130706433/x.png",
    "http://user:secret@pictures.example/x.png", "ftp://pictures.example/x.png", "file:///etc/passwd",
    "javascript:alert(1)", "//127.0.0.1/x.png", "http://[broken/x.png",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Host:
    """A page in the making: its kind, its site and its own random numbers."""

    kind: str
    site: Site
    rng: random.Random

    def url(self, name: str) -> str:
        return f"http://{self.site.host}/odd/{self.kind.replace('_', '-')}/{name}"

    def picture(self, name: str, body: bytes, content_type: str, problem: str) -> Picture:
        return Picture(url=self.url(name), body=body, content_type=content_type, stored="archive", problem=problem)

    def page(self, pictures: list[Picture], scenes: list[Scene | None], number: int = 0) -> Page:
        """Return an article of enough text around the pictures."""
        blocks: list[Block] = [fillers(self.rng, 3)]
        for picture, scene in zip(pictures, scenes, strict=True):
            text = paragraph(scene, self.rng) if scene else fillers(self.rng, 2)
            caption = describe(scene, self.rng) if scene else ""
            blocks += [Placed(picture=picture, caption=caption), text]
        article = Article(title=title(self.rng), blocks=(*blocks, fillers(self.rng, 2)))
        body = render(article, self.site, self.rng).encode("utf-8")
        url, shown = self.url(f"{number}.html"), article.pictures
        return Page(url=url, kind=self.kind, body=body, language="en", pictures=shown)


def _host(kind: str, number: int = 0) -> _Host:
    rng = seeded(kind, number)
    return _Host(kind, rng.choice(SITES), rng)


def odd_pages(share: float = 1.0) -> Iterator[Page]:
    """Yield every odd page; share: of the three kinds that come in numbers, 0-1."""
    for number in range(round(BROKEN_IMAGES * share)):
        yield broken_image_page(number)
    for number in range(round(MOVED_IMAGES * share)):
        yield moved_image_page(number)
    for number in range(round(SHARED_PICTURES * share)):
        yield shared_picture_page(number)
    yield from _picture_pages()
    yield from _markup_pages()
    yield from _response_pages()


def broken_image_page(number: int) -> Page:
    """Return an article with one good picture and one broken in the archive: cut off, HTML, empty, or missing."""
    host = _host("broken_image", number)
    good, lost = random_scene(host.rng), random_scene(host.rng)
    whole = new_picture(lost, host.site, host.rng)
    bodies = {
        "truncated": whole.body[: len(whole.body) // 3],
        "not_an_image": b"<html><body><h1>Please log in</h1></body></html>",
        "empty": b"",
        "not_found": b"",
    }
    problem = tuple(bodies)[number % len(bodies)]
    broken = host.picture(f"{number}.jpg", bodies[problem], "image/jpeg", problem)
    if problem == "not_found":
        broken = replace(broken, stored="none", url=f"http://{PICTURE_HOSTS[0]}/media/lost-{number}.jpg")
    return host.page([new_picture(good, host.site, host.rng), broken], [good, lost], number)


def moved_image_page(number: int) -> Page:
    """Return an article whose picture has moved: the picture server says so, or (odd numbers) the archive."""
    host = _host("moved_image", number)
    scene = random_scene(host.rng)
    picture = new_picture(scene, host.site, host.rng)
    file = picture.url.rpartition("/")[2]
    if number % 2:
        new = f"http://{host.site.host}/media/new/{file}"
        picture = replace(picture, stored="archive", url=host.url(file), moved_to=new)
    else:
        picture = replace(picture, stored="http", url=f"http://{PICTURE_HOSTS[0]}{MOVED}media/{file}")
    return host.page([picture], [scene], number)


def shared_picture_page(number: int) -> Page:
    """Return an article with a picture of its own and, in its text, the envelope that all these pages show."""
    host = _host("shared_picture", number)
    good = random_scene(host.rng)
    body = encode(_envelope(), "jpg")
    url = f"http://{host.site.host}/media/letter.jpg"
    shared = Picture(url=url, body=body, content_type="image/jpeg", stored="archive", problem="too_frequent")
    return host.page([new_picture(good, host.site, host.rng), shared], [good, None], number)


def _envelope() -> Image.Image:
    image = Image.new("RGB", (180, 120), (70, 96, 88))
    pen = ImageDraw.Draw(image)
    pen.rectangle((20, 18, 160, 102), fill=(236, 232, 214))
    pen.line((20, 18, 90, 66, 160, 18), fill=(70, 96, 88), width=5)
    return image


def bomb_png() -> bytes:
    """Return a PNG of a few hundred bytes that declares `BOMB_SIDE` squared pixels."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000), 9)), (b"IEND", b""))
    made = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def _picture_pages() -> Iterator[Page]:
    """Yield pages whose pictures are hostile, each beside one good picture that must survive."""
    host = _host("private_addresses")
    good = random_scene(host.rng)
    hostile = [Picture(url=url, problem="refused_address") for url in _PRIVATE]
    yield host.page([new_picture(good, host.site, host.rng), *hostile], [good, *[None] * len(hostile)])

    host = _host("server_trouble")
    good = random_scene(host.rng)
    troubled = [Picture(url=f"http://{PICTURE_HOSTS[0]}{path}", problem=slug) for path, slug in TROUBLE.items()]
    yield host.page([new_picture(good, host.site, host.rng), *troubled], [good, *[None] * len(troubled)])

    host = _host("decompression_bomb")
    good = random_scene(host.rng)
    bomb = host.picture("large.png", bomb_png(), "image/png", "too_many_pixels")
    yield host.page([new_picture(good, host.site, host.rng), bomb], [good, None])

    host = _host("banner")
    good = random_scene(host.rng)
    strip = Image.new("RGB", (900, 80), (200, 210, 220))
    ImageDraw.Draw(strip).rectangle((10, 10, 300, 60), fill=(90, 90, 110))
    banner = host.picture("wide.png", encode(strip, "png"), "image/png", "aspect")
    yield host.page([new_picture(good, host.site, host.rng), banner], [good, None])

    host = _host("data_uri")
    inline, good = random_scene(host.rng), random_scene(host.rng)
    made = new_picture(inline, host.site, host.rng)
    uri = f"data:{made.content_type};base64,{base64.b64encode(made.body).decode()}"
    inlined = Picture(url=uri, body=made.body, content_type=made.content_type, scene=inline, matches=True)
    broken = Picture(url=f"data:image/png;base64,{'A' * 600}", problem="not_an_image")
    yield host.page([new_picture(good, host.site, host.rng), inlined, broken], [good, inline, None])


def _markup_pages() -> Iterator[Page]:
    """Yield articles whose markup is broken or hostile; the article in it is an honest one."""
    opened, closed = b"<div>" * NESTING, b"</div>" * NESTING
    plain = {kind: article_page(2_000 + number) for number, kind in enumerate(
        ("deep_nesting", "broken_markup", "script_heavy", "null_bytes", "wrong_charset", "no_charset", "long_attribute")
    )}  # fmt: skip
    changed = {
        "deep_nesting": lambda body: body.replace(b"<h1", opened + b"<h1", 1).replace(b"</body>", closed + b"</body>"),
        "broken_markup": lambda body: body.replace(b"</p>", b"").replace(b"</article>", b"</b></i><//>").replace(
            b"</h1>", b"</h1><table><tr><p <b>&nosuch;&#xFFFFFFFF;</h9>"),
        "script_heavy": lambda body: body.replace(
            b"<h1", b"<script>var a='</scr'+'ipt><p>never shown</p>';" + b"f(1);" * 20_000 + b"</script><h1", 1),
        "null_bytes": lambda body: body.replace(b". ", b".\x00 "),
        "wrong_charset": lambda body: body.replace(b'charset="utf-8"', b'charset="shift_jis"').replace(
            b"<h1", "<p>Café – naïve façade.</p><h1".encode(), 1),
        "no_charset": lambda body: body.replace(b'<meta charset="utf-8">\n', b"").replace(
            b"<h1", "<p>Café naïve façade.</p><h1".encode("latin-1"), 1),
        "long_attribute": lambda body: body.replace(b"<h1", b'<p title="' + b"x" * 200_000 + b'"></p><h1', 1),
    }  # fmt: skip
    for kind, page in plain.items():
        content_type = "text/html" if "charset" in kind else page.content_type
        yield replace(page, kind=kind, body=changed[kind](page.body), content_type=content_type)


def _response_pages() -> Iterator[Page]:
    """Yield responses that are no page at all."""
    made = {
        "empty": (b"", "text/html", 200),
        "all_null": (bytes(5_000), "text/html", 200),
        "pdf": (b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\ntrailer << >>\n%%EOF\n", "application/pdf", 200),
        "json": (b'{"items": [1, 2, 3], "next": null}', "application/json", 200),
        "http_404": (b"<html><body><h1>404 Not Found</h1></body></html>", "text/html", 404),
        "http_500": (b"<html><body><h1>500 Internal Server Error</h1></body></html>", "text/html", 500),
        "http_301": (b"", "text/html", 301),
    }
    for kind, (body, content_type, status) in made.items():
        url = _host(kind).url("index.html" if content_type == "text/html" else f"file.{kind}")
        headers = (("Location", f"http://{SITES[0].host}/"),) if status == 301 else ()
        yield Page(url=url, kind=kind, body=body, content_type=content_type, status=status, headers=headers)


def site_images() -> Iterator[Picture]:
    """Yield what every page of a site shows: its logo, its icons, its advertisements and the counting pixel."""
    for number, site in enumerate(SITES):
        rng = seeded("logo", number)
        logo = Image.new("RGB", (120, 40), (250, 250, 250))
        pen = ImageDraw.Draw(logo)
        for x in range(4, 116, 14):
            pen.rectangle((x, rng.randint(4, 16), x + 9, 36), fill=(40, rng.randint(40, 160), 90))
        made = {"logo.png": encode(logo, "png"), "pixel.gif": encode(Image.new("RGB", (1, 1)), "gif")}
        made |= {f"icon-{name}.gif": encode(Image.new("RGB", (16, 16), (90, 90, 90 + 20 * at)), "gif")
                 for at, name in enumerate(("mail", "feed", "print"))}  # fmt: skip
        for which in (1, 2, 3):
            made[f"banner-{which}.png"] = encode(Image.new("RGB", (468, 60), (240, 60 * which, 40)), "png")
        for name, body in made.items():
            content_type = "image/png" if name.endswith("png") else "image/gif"
            url = f"http://{site.host}/static/{name}"
            yield Picture(url=url, body=body, content_type=content_type, stored="archive")
