"""The demo's content pages, by kind: articles, and what a crawl holds beside them in the same clothes.

Each page has a random generator of its own, seeded by kind and number, so that one kind can grow without changing
the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from pipelines.demo.captions import contents, describe, group_phrase, paragraph
from pipelines.demo.languages import LANGUAGES
from pipelines.demo.layouts import render
from pipelines.demo.pictures import CONTENT_TYPES, random_file
from pipelines.demo.prose import FILLERS, HEADINGS, LEAD_INS, NAMING_LEAD_INS, fill, fillers, title
from pipelines.demo.scene import SHAPES, Scene, random_scene, single_scene
from pipelines.demo.web import PICTURE_HOSTS, SITES, Article, Block, Heading, Page, Picture, Placed, Site, Stored

ARTICLES = 610
MIRRORS, NEAR_DUPLICATES, MISMATCHED, SPAM, SHORT, ICONS_ONLY, MANY_PICTURES = 24, 24, 40, 20, 20, 12, 3
FOREIGN = 14  # pages per language
HTTP_SHARE = 0.3  # of the pictures: only on the picture server

_CHARSETS = {"fr": "iso-8859-1", "es": "iso-8859-1", "zh": "gb18030", "ja": "shift_jis", "ru": "windows-1251"}
_SPAM = ("buy", "cheap", "deal", "discount", "best", "price", "online", "free", "offer", "shop", "now", "sale")


def seeded(kind: str, number: int) -> random.Random:
    """Return the generator of one page of the dump."""
    return random.Random(f"infimm demo dump 1 {kind} {number}")


def content_pages(articles: int = ARTICLES) -> Iterator[Page]:
    """Yield the pages of all content kinds; articles: how many of the main kind (>= 1), the others in proportion."""
    for number in range(articles):
        yield article_page(number)
    makers = (
        (mirror_page, MIRRORS), (near_duplicate_page, NEAR_DUPLICATES), (mismatched_page, MISMATCHED),
        (spam_page, SPAM), (short_page, SHORT), (icons_page, ICONS_ONLY), (crowded_page, MANY_PICTURES),
    )  # fmt: skip
    for make, full in makers:
        for number in range(-(-full * articles // ARTICLES)):
            yield make(number)
    for language in LANGUAGES:
        for number in range(-(-FOREIGN * articles // ARTICLES)):
            yield foreign_page(language, number)


def new_picture(scene: Scene, site: Site, rng: random.Random, *, matches: bool | None = True) -> Picture:
    """Return the file of a scene under an address of the site, or of a picture host whose files no archive has."""
    extension, body = random_file(scene, rng)
    is_http = rng.random() < HTTP_SHARE
    host = rng.choices(PICTURE_HOSTS, (80, 20))[0] if is_http else site.host
    url = f"http://{host}/media/{rng.getrandbits(40):010x}.{extension}"
    stored: Stored = "http" if is_http else "archive"
    content_type = CONTENT_TYPES[extension]
    return Picture(url=url, body=body, content_type=content_type, scene=scene, matches=matches, stored=stored)


def _alt(scene: Scene, rng: random.Random) -> str:
    return rng.choice((describe(scene, rng), describe(scene, rng).rstrip("."), "", "picture", "study"))


def _about(scene: Scene, shown: Picture, rng: random.Random) -> list[Block]:
    """Return a picture with the text about it: the text is of `scene`, whatever the picture shows."""
    before = fillers(rng, rng.randint(1, 2))
    if rng.random() < 0.15:
        before += " " + rng.choice(NAMING_LEAD_INS).format(contents(scene, rng))
    elif rng.random() < 0.6:
        before += " " + rng.choice(LEAD_INS)
    caption = describe(scene, rng) if rng.random() < 0.6 else ""
    placed = Placed(picture=shown, alt=_alt(scene, rng), caption=caption)
    after = paragraph(scene, rng)
    if rng.random() < 0.5:
        after += " " + fillers(rng, rng.randint(1, 2))
    return [before, placed, after]


def _article(scenes: list[Scene], shown: list[Picture], rng: random.Random) -> Article:
    blocks: list[Block] = [fillers(rng, rng.randint(1, 3))]
    for number, (scene, picture) in enumerate(zip(scenes, shown, strict=True)):
        if number and rng.random() < 0.4:
            blocks.append(Heading(text=rng.choice(HEADINGS)))
        blocks += _about(scene, picture, rng)
    blocks.append(fillers(rng, rng.randint(1, 3)))
    return Article(title=title(rng), blocks=tuple(blocks))


def _page(kind: str, article: Article, site: Site, rng: random.Random, *, name: str = "") -> Page:
    name = name or "-".join(article.title.lower().replace(":", "").replace(",", "").split())
    url = f"http://{site.host}/{rng.choice(('a', 'news', 'study'))}/{rng.randint(1000, 9999)}/{name}.html"
    coding = rng.choices(("", "gzip", "chunked"), (80, 10, 10))[0]
    body = render(article, site, rng).encode("utf-8")
    return Page(
        url=url, kind=kind, body=body, language=article.language, coding=coding, pictures=article.pictures
    )  # fmt: skip


def _plain_article(rng: random.Random) -> tuple[Article, Site]:
    site = rng.choice(SITES)
    scenes = [random_scene(rng) for _ in range(rng.choices((1, 2, 3, 4), (25, 40, 25, 10))[0])]
    return _article(scenes, [new_picture(scene, site, rng) for scene in scenes], rng), site


def article_page(number: int) -> Page:
    """Return an article whose pictures show what its text says."""
    rng = seeded("article", number)
    article, site = _plain_article(rng)
    return _page("article", article, site, rng)


def mirror_page(number: int) -> Page:
    """Return article `number` again, byte for byte, under another address.

    So its relative picture addresses lead nowhere, as they do in careless copies; the truth lists the original's.
    """
    original = article_page(number)
    return replace(original, kind="mirror", url=f"http://mirror-{number % 3}.example/copy{original.url[6:]}")


def near_duplicate_page(number: int) -> Page:
    """Return article 50 + `number` again on another site, with a sentence put before its text."""
    rng = seeded("article", 50 + number)
    article, site = _plain_article(rng)
    other = SITES[(SITES.index(site) + 1) % len(SITES)]
    rng = seeded("near_duplicate", number)
    first = f"{fill('Seen by {person} in {town}.', rng)} {article.blocks[0]}"
    return _page("near_duplicate", replace(article, blocks=(first, *article.blocks[1:])), other, rng)


def mismatched_page(number: int) -> Page:
    """Return an article whose pictures share neither shape nor colour with what the text says."""
    rng = seeded("mismatched", number)
    site = rng.choice(SITES)
    scenes = [random_scene(rng) for _ in range(rng.choice((1, 2)))]
    named = {word for scene in scenes for group in scene.groups for word in (group.shape, group.colour)}
    shown: list[Scene] = []
    while len(shown) < len(scenes):
        other = random_scene(rng)
        if not named & {word for group in other.groups for word in (group.shape, group.colour)}:
            shown.append(other)
    pictures = [new_picture(scene, site, rng, matches=False) for scene in shown]
    return _page("mismatched", _article(scenes, pictures, rng), site, rng)


def spam_page(number: int) -> Page:
    """Return a page that repeats a few words, beside a picture."""
    rng = seeded("spam", number)
    site, scene = rng.choice(SITES), random_scene(rng)
    phrase = " ".join(rng.sample(_SPAM, 4))
    text = " ".join([phrase] * rng.randint(25, 60))
    placed = Placed(picture=new_picture(scene, site, rng, matches=None), alt=phrase)
    article = Article(title=phrase, blocks=(text, placed, text))
    return _page("spam", article, site, rng, name="offer")


def short_page(number: int) -> Page:
    """Return a picture with a line of text, too little for a document."""
    rng = seeded("short", number)
    site, scene = rng.choice(SITES), random_scene(rng)
    placed = Placed(picture=new_picture(scene, site, rng), alt=_alt(scene, rng))
    article = Article(title=title(rng), blocks=(placed, f"{group_phrase(scene.groups[0]).capitalize()}."))
    return _page("short", article, site, rng, name="note")


def icons_page(number: int) -> Page:
    """Return an article whose only pictures are the site's own icons."""
    rng = seeded("icons_only", number)
    site = rng.choice(SITES)
    article = Article(title=title(rng), blocks=tuple(fillers(rng, rng.randint(3, 5)) for _ in range(4)))
    return _page("icons_only", article, site, rng)


def crowded_page(number: int) -> Page:
    """Return a gallery of 45 pictures, more than a document may have."""
    rng = seeded("many_pictures", number)
    site = rng.choice(SITES)
    blocks: list[Block] = [fillers(rng, 5)]
    for sentence in rng.sample(FILLERS, 45):
        scene = random_scene(rng)
        placed = Placed(picture=new_picture(scene, site, rng), caption=contents(scene, rng).capitalize())
        blocks += [placed, fill(sentence, rng)]
    return _page("many_pictures", Article(title="Gallery", blocks=tuple(blocks)), site, rng)


def foreign_page(code: str, number: int) -> Page:
    """Return an article in another language; every second one in the old encoding of its script, if it has one."""
    rng = seeded(code, number)
    language, site = LANGUAGES[code], rng.choice(SITES)
    blocks: list[Block] = [language.paragraph(rng, 3)]
    for _ in range(rng.choice((1, 2))):
        scene = single_scene(rng, shape=rng.choice(SHAPES))
        blocks.append(Placed(picture=new_picture(scene, site, rng)))
        blocks.append(language.name(scene, rng) + language.space + language.paragraph(rng, 3))
    article = Article(title=rng.choice(language.titles), blocks=tuple(blocks), language=code)
    page = _page(f"language_{code}", article, site, rng, name="article")
    charset = _CHARSETS.get(code)
    if charset is None or number % 2:
        return page
    text = page.body.decode("utf-8").replace('charset="utf-8"', f'charset="{charset}"', 1)
    encoded = text.encode(charset, "xmlcharrefreplace")
    return replace(page, body=encoded, content_type="text/html")
