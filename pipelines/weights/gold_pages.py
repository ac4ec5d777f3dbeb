"""Web pages with their known content, from public benchmarks: what extraction is trained on and measured with.

Each set is a folder `html_NAME` whose SOURCE.md names its origin. Read from there, never shipped.

| set | text | snippets | images | captions |
|---|---|---|---|---|
| wcxb_dev | yes | - | - | - |
| scrapinghub | yes | - | - | - |
| trafilatura_eval | - | with, without | - | - |
| fundus | yes | - | yes | yes |
| readability | yes | - | yes | - |
| defuddle | yes | - | yes | - |
| webmainbench_sample | yes | - | - | - |
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from selectolax.lexbor import LexborHTMLParser

from pipelines.html_images import image_url
from pipelines.html_walk import walk

_WORD = re.compile(r"\w+")
_FRONT_MATTER = re.compile(r"\A```json\n(.*?)\n```\n", re.S)
_MARKDOWN_IMAGE = re.compile(r"!\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
_MARKDOWN_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldImage:
    """An image of the content. names: the file names of all its sizes (`file_name`); caption: "" where unknown."""

    names: frozenset[str]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldPage:
    """A page and what is known of its content; None where the set does not know it.

    group: the site, by which folds are cut (pages of one site never stand on both sides); kind: type of the page.
    """

    dataset: str
    name: str
    html: bytes
    url: str
    group: str
    kind: str = "article"
    text: str | None = None
    images: tuple[GoldImage, ...] | None = None
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def read_pages(folder: Path, name: str) -> list[GoldPage]:
    """Return the pages of a set, sorted by name; empty where `folder` has no `html_NAME`."""
    root = folder / f"html_{name}"
    return sorted(SETS[name](root), key=lambda page: page.name) if root.is_dir() else []


def words(text: str) -> Counter[str]:
    r"""Return the lower-cased `\w+` tokens of a text with their counts (WCXB README, "word-level F1")."""
    return Counter(_WORD.findall(text.lower()))


def word_f1(found: str, gold: str) -> float:
    """Return the F1 of the multiset overlap of words; 1 where both are empty."""
    a, b = words(found), words(gold)
    if not a and not b:
        return 1.0
    return 2 * (a & b).total() / (a.total() + b.total())


def file_name(url: str) -> str:
    """Return the last part of a URL's path, without query: what images of two extractors are matched by."""
    try:
        path = urlsplit(url.strip()).path
    except ValueError:
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2])


def _group(url: str, name: str) -> str:
    host = urlsplit(url).hostname or name
    return host.removeprefix("www.")


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _wcxb(root: Path) -> Iterator[GoldPage]:
    for path in (root / "html").glob("*.html.gz"):
        name = path.name.partition(".")[0]
        gold = _load(root / "ground-truth" / f"{name}.json")
        kind = gold["_internal"]["page_type"]["primary"]
        yield GoldPage(
            dataset="wcxb_dev", name=name, html=gzip.decompress(path.read_bytes()), url=gold["url"],
            group=_group(gold["url"], name), kind=kind, text=gold["ground_truth"]["main_content"] or "",
        )  # fmt: skip


def _scrapinghub(root: Path) -> Iterator[GoldPage]:
    for name, gold in _load(root / "ground-truth.json").items():
        path = root / "html" / f"{name}.html.gz"
        if path.exists():
            yield GoldPage(
                dataset="scrapinghub", name=name, html=gzip.decompress(path.read_bytes()), url=gold["url"],
                group=_group(gold["url"], name), text=gold["articleBody"],
            )  # fmt: skip


def _trafilatura_eval(root: Path) -> Iterator[GoldPage]:
    for url, gold in _load(root / "evaldata.json").items():
        path = root / "html" / f"{gold['file']}.gz"
        if path.exists():
            yield GoldPage(
                dataset="trafilatura_eval", name=gold["file"], html=gzip.decompress(path.read_bytes()), url=url,
                group=_group(url, gold["file"]), present=tuple(gold["with"]), absent=tuple(gold["without"]),
            )  # fmt: skip


def _fundus(root: Path) -> Iterator[GoldPage]:
    for line in (root / "articles.jsonl").read_text(encoding="utf-8").splitlines():
        article = json.loads(line)
        gold = _load(root / article["json"])[article["version"]]
        body = gold.get("body") or {}
        parts = list(body.get("summary") or ())
        for section in body.get("sections") or ():
            parts += [*section.get("headline", ()), *section.get("paragraphs", ())]
        images = None
        if "images" in gold:
            images = tuple(
                GoldImage(
                    names=frozenset(file_name(version["url"]) for version in image["versions"]),
                    caption=image.get("caption") or "",
                )
                for image in gold["images"] or ()
            )
        yield GoldPage(
            dataset="fundus", name=article["html"], html=gzip.decompress((root / article["html"]).read_bytes()),
            url=article["url"], group=article["json"], text="\n\n".join(parts), images=images,
        )  # fmt: skip


def _readability(root: Path) -> Iterator[GoldPage]:
    base = "http://fakehost/test/page.html"
    for path in root.glob("*/source.html.gz"):
        tree = LexborHTMLParser((path.parent / "expected.html").read_text(encoding="utf-8"))
        blocks = walk(tree.root, base).blocks
        html = gzip.decompress(path.read_bytes())
        alike = _names_of_one_picture(html)
        named = [file_name(_source(node.attributes, base)) for node in tree.css("img")]
        yield GoldPage(
            dataset="readability", name=path.parent.name, html=html, url=base,
            group=path.parent.name.rstrip("-0123456789"), text="\n\n".join(block.text for block in blocks),
            images=tuple(GoldImage(names=alike.get(name, frozenset((name,)))) for name in named if name),
        )  # fmt: skip


def _source(attributes: Mapping[str, str | None], base: str) -> str:
    """Return the address of an `<img>`: its `src`, where that names a file, else what a script or `srcset` loads."""
    src = attributes.get("src") or "data:"
    return src if not src.startswith("data:") else image_url(attributes, (), base) or ""


def _names_of_one_picture(html: bytes) -> dict[str, frozenset[str]]:
    """Return for each file name of an `<img>` the names of all its sizes (src, srcset, lazy sources, `<picture>`)."""
    alike: dict[str, frozenset[str]] = {}
    for node in LexborHTMLParser(html).css("img"):
        values = [*node.attributes.values()]
        if node.parent is not None and node.parent.tag == "picture":
            values += [source.attributes.get("srcset") for source in node.parent.css("source")]
        parts = (part for value in values if value for part in re.split(r"[\s,]+", value) if "/" in part or "." in part)
        names = frozenset(filter(None, map(file_name, parts)))
        for name in names:
            alike[name] = alike.get(name, frozenset()) | names
    return alike


def _defuddle(root: Path) -> Iterator[GoldPage]:
    for path in (root / "fixtures").glob("*.html"):
        markdown = (root / "expected" / f"{path.stem}.md").read_text(encoding="utf-8")
        markdown = _FRONT_MATTER.sub("", markdown)
        text, urls = _plain(markdown)
        match = re.search(r'rel="canonical" href="(http[^"]+)"', path.read_text(encoding="utf-8", errors="replace"))
        yield GoldPage(
            dataset="defuddle", name=path.stem, html=path.read_bytes(), url=match[1] if match else "http://a.example/",
            group=_group(match[1] if match else "", path.stem), text=text,
            images=tuple(GoldImage(names=frozenset((file_name(url),))) for url in urls),
        )  # fmt: skip


def _webmainbench(root: Path) -> Iterator[GoldPage]:
    for path in sorted(root.glob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines():
            gold = json.loads(line)
            url = gold.get("url") or "http://a.example/"
            yield GoldPage(
                dataset="webmainbench_sample", name=gold.get("id") or gold["track_id"], html=gold["html"].encode(),
                url=url, group=_group(url, gold["track_id"]), text=_plain(gold["groundtruth_content"])[0],
            )  # fmt: skip


def _plain(markdown: str) -> tuple[str, list[str]]:
    """Return Markdown's text without the addresses of links and images, and the addresses of the images."""
    urls = [match[2] for match in _MARKDOWN_IMAGE.finditer(markdown)]
    return _MARKDOWN_LINK.sub(r"\1", _MARKDOWN_IMAGE.sub("", markdown)), urls


SETS: dict[str, Callable[[Path], Iterator[GoldPage]]] = {
    "wcxb_dev": _wcxb,
    "scrapinghub": _scrapinghub,
    "trafilatura_eval": _trafilatura_eval,
    "fundus": _fundus,
    "readability": _readability,
    "defuddle": _defuddle,
    "webmainbench_sample": _webmainbench,
}
