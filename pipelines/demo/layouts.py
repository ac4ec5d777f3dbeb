"""Lays an article out as a web page: five templates, with all that stands around an article on the web."""

from __future__ import annotations

import random
from collections.abc import Callable
from html import escape
from types import MappingProxyType

from pipelines.demo.prose import fill, title
from pipelines.demo.web import Article, Heading, Placed, Site

_COOKIES = "We use cookies to improve your experience. By continuing you accept our privacy policy."
_COMMENTS = ("Lovely work, thank you!", "I tried this at home.", "First!", "Could you post more of these?", "Agreed.")
_PLACEHOLDER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_STYLE = "body{font:16px/1.5 serif;margin:0}nav a{padding:4px}.ad{float:right;width:300px}"
_SCRIPT = "window.dataLayer=window.dataLayer||[];function track(e){dataLayer.push(e)}if(1<2){track('<p>view</p>')}"


def render(article: Article, site: Site, rng: random.Random) -> str:
    """Return the HTML of the page, its links and widgets drawn from `rng`."""
    return LAYOUTS[site.layout](article, site, rng)


def _head(article: Article, site: Site, extra: str = "") -> str:
    name = escape(f"{article.title} | {site.name}")
    return (
        f'<!DOCTYPE html>\n<html lang="{article.language}">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        f'{extra}<meta name="description" content="{escape(article.title)}">\n'
        f'<link rel="icon" href="/favicon.ico">\n<style>{_STYLE}</style>\n<script>{_SCRIPT}</script>\n</head>\n'
    )


def _host(site: Site) -> str:
    return f"http://{site.host}"


def _menu(site: Site) -> str:
    items = ("Home", "Lessons", "Archive", "Gallery", "About", "Contact", "Subscribe")
    links = "".join(f'<li><a href="/{item.lower()}">{item}</a></li>' for item in items)
    logo = f'<a href="/"><img src="/static/logo.png" width="120" height="40" alt="{escape(site.name)} logo"></a>'
    return f"{logo}<ul>{links}</ul>"


def _related(rng: random.Random) -> str:
    titles = [title(rng) for _ in range(rng.randint(3, 6))]
    links = "".join(f'<li><a href="/a/{rng.randint(100, 999)}.html">{escape(text)}</a></li>' for text in titles)
    return f"<h4>Related articles</h4><ul>{links}</ul>"


def _share() -> str:
    names = ("mail", "feed", "print")
    return "".join(
        f'<a href="/share/{name}"><img src="/static/icon-{name}.gif" width="16" height="16" alt="{name}"></a>'
        for name in names
    )


def _advert(rng: random.Random) -> str:
    number = rng.randint(1, 3)
    return (
        f'<div class="ad advertisement"><a href="http://ads.example/click?id={number}">'
        f'<img src="/static/banner-{number}.png" width="468" height="60" alt="Advertisement"></a></div>'
    )


def _foot(site: Site, rng: random.Random) -> str:
    seen = f'<img src="/static/pixel.gif?r={rng.randint(0, 9999)}" width="1" height="1" alt="">'
    return (
        f'<p>&copy; 2022 {escape(site.name)}. All rights reserved. <a href="/privacy">Privacy</a> '
        f'<a href="/terms">Terms</a></p>{seen}'
    )


def _comments(rng: random.Random) -> str:
    said = "".join(
        f'<div class="comment"><b>user{rng.randint(10, 99)}</b><p>{text}</p></div>'
        for text in rng.sample(_COMMENTS, rng.randint(0, 3))
    )
    said += '<a href="/login">Log in to comment</a>'
    return f'<section id="comments" class="comments"><h3>Comments</h3>{said}</section>'


def _image(placed: Placed, prefix: str, rng: random.Random) -> str:
    """Return the markup of a picture in one of the ways pages use: plain, sized sets, lazy, with sources."""
    url, alt = placed.picture.url, escape(placed.alt)
    address = escape(_address(url, prefix, rng))
    way = rng.choice(("plain", "plain", "plain", "srcset", "lazy", "picture"))
    if way == "plain" or url.startswith("data:"):
        return f'<img src="{address}" alt="{alt}">'
    small = address.replace("/media/", "/media/small/", 1)
    if way == "srcset":
        return f'<img src="{address}" srcset="{small} 48w, {address} 96w" sizes="50vw" alt="{alt}">'
    if way == "lazy":
        return (
            f'<img class="lazyload" src="{_PLACEHOLDER}" data-src="{address}" alt="{alt}">'
            f'<noscript><img src="{address}" alt="{alt}"></noscript>'
        )
    return f'<picture><source media="(min-width: 600px)" srcset="{address}"><img src="{address}" alt="{alt}"></picture>'


def _address(url: str, prefix: str, rng: random.Random) -> str:
    """Return the URL as pages write it: absolute, without scheme, or relative to `prefix` where it starts so."""
    if url.startswith(prefix):
        return url if rng.random() < 0.2 else url.removeprefix(prefix)
    return url.removeprefix("http:") if rng.random() < 0.3 else url


def _blocks(article: Article, prefix: str, rng: random.Random, *, figure: bool) -> str:
    """Return paragraphs, headings and pictures in order; figure: pictures in <figure>, else in a plain <div>.

    prefix: what addresses on the page may leave out.
    """
    parts = []
    for block in article.blocks:
        if isinstance(block, str):
            parts.append(f"<p>{escape(block, quote=False)}</p>")
        elif isinstance(block, Heading):
            parts.append(f"<h2>{escape(block.text)}</h2>")
        elif figure:
            caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
            parts.append(f"<figure>{_image(block, prefix, rng)}{caption}</figure>")
        else:
            caption = f'<p class="caption">{escape(block.caption)}</p>' if block.caption else ""
            parts.append(f'<div class="img-wrap">{_image(block, prefix, rng)}{caption}</div>')
    return "\n".join(parts)


def _semantic(article: Article, site: Site, rng: random.Random) -> str:
    text = _blocks(article, _host(site), rng, figure=True)
    return (
        f"{_head(article, site)}<body>\n<header><nav>{_menu(site)}</nav></header>\n<main><article>\n"
        f"<h1>{escape(article.title)}</h1>\n{text}\n</article>{_share()}</main>\n"
        f"<aside>{_related(rng)}{_advert(rng)}</aside>\n{_comments(rng)}\n<footer>{_foot(site, rng)}</footer>\n"
        f'<div id="cookie-banner" role="dialog">{_COOKIES}<button>OK</button></div>\n</body>\n</html>\n'
    )


def _blog(article: Article, site: Site, rng: random.Random) -> str:
    base = f"{_host(site)}/"
    head = _head(article, site, f'<base href="{base}">\n')
    author = fill("{person}", rng)
    text = _blocks(article, base, rng, figure=True)
    return (
        f'{head}<body class="single post">\n<div id="header">{_menu(site)}</div>\n'
        f'<div id="content"><div class="post hentry">\n<h1 class="entry-title">{escape(article.title)}</h1>\n'
        f'<div class="byline">By {author}</div>\n<div class="entry-content">\n{text}\n'
        f'</div>{_share()}</div></div>\n<div id="sidebar" class="sidebar">{_advert(rng)}{_related(rng)}</div>\n'
        f'{_comments(rng)}<div id="footer">{_foot(site, rng)}</div>\n</body></html>\n'
    )


def _div_soup(article: Article, site: Site, rng: random.Random) -> str:
    text = _blocks(article, _host(site), rng, figure=False)
    return (
        f'{_head(article, site)}<body>\n<div class="wrap"><div class="top navigation">{_menu(site)}</div>\n'
        f'<div class="c1"><div class="c2"><div class="t1"><h1>{escape(article.title)}</h1></div>\n<div class="txt">\n'
        f'{text}\n</div></div>\n<div class="c3 related">{_related(rng)}</div></div>\n'
        f'<div class="bottom footer">{_share()}{_foot(site, rng)}</div>\n<div class="cookie">{_COOKIES}</div></div>\n'
        "</body></html>\n"
    )


def _magazine(article: Article, site: Site, rng: random.Random) -> str:
    text = _blocks(article, _host(site), rng, figure=True)
    return (
        f"{_head(article, site)}<body>\n{_advert(rng)}<nav>{_menu(site)}</nav>\n<main>\n<header><h1>"
        f'{escape(article.title)}</h1></header>\n<section class="story">\n{text}\n'
        f'</section>\n</main>\n<aside class="related">{_related(rng)}</aside>\n<footer>{_share()}{_foot(site, rng)}'
        f"</footer><noscript>Please enable JavaScript.</noscript>\n</body></html>\n"
    )


def _table(article: Article, site: Site, rng: random.Random) -> str:
    text = _blocks(article, _host(site), rng, figure=False)
    return (
        f'{_head(article, site)}<body bgcolor="#ffffff">\n<table width="100%">\n'
        f'<tr><td colspan="2">{_menu(site)}</td></tr>\n'
        f'<tr><td width="160" valign="top">{_related(rng)}</td><td valign="top">\n<h1>{escape(article.title)}</h1>\n'
        f"{text}\n</td></tr>\n<tr><td colspan=2>{_foot(site, rng)}</td></tr></table>\n"
        "</body></html>\n"
    )


LAYOUTS: MappingProxyType[str, Callable[[Article, Site, random.Random], str]] = MappingProxyType(
    {
        "semantic": _semantic,
        "blog": _blog,
        "div_soup": _div_soup,
        "magazine": _magazine,
        "table": _table,
    }
)
