"""Extraction of pages with known content: ours beside trafilatura, resiliparse and readability-lxml in one process.

    python benchmarks/extraction.py [DATA] [--sets fundus readability] [--limit 50]

DATA holds the benchmark sets `html_*` (default ../shared/data); each one's SOURCE.md says how it is scored. Figures:
mean word-F1 of the text (multiset overlap of lower-cased words); share of snippets that appear and that do not;
images by file name without query, all sizes of a picture counting as it, summed over the pages; captions: of the
gold ones that the page holds as text, how many our image node carries. "captions in it" is our text as a build has
it, with the captions of its images, which the gold texts of most sets do not hold.

Our model is trained on these very sets, so that our own figures here flatter: beside them stand those on unseen sites
(`pipelines/weights/content.json`, five-fold cross-validation by site). Peers get the decoded page, as ours does its
bytes; speed is of one core, images asked for where the peer can give them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infimm_data.document import Document
from pipelines.content_model import WEIGHTS
from pipelines.extract import decode_html, extract_html
from pipelines.weights.gold_pages import SETS, GoldPage, file_name, read_pages, word_f1

PEERS = {"trafilatura": "trafilatura", "resiliparse": "resiliparse", "readability": "readability"}
PACKAGES = {"trafilatura": "trafilatura", "resiliparse": "resiliparse", "readability": "readability-lxml"}
_WORD = re.compile(r"\w+")

BUILT = ", captions in it"


@dataclass(slots=True)
class Found:
    """What an extractor says of a page. captions: (address of the image, caption)."""

    text: str = ""
    images: list[str] = field(default_factory=list)
    captions: list[tuple[str, str]] = field(default_factory=list)


def ours(page: GoldPage) -> Found:
    """Extract with InfiMM."""
    document = extract_html(page.html, page.url)
    if document is None:
        return Found()
    return Found(
        text=_text(document),
        images=[image.url for image in document.images],
        captions=[(image.url, image.caption) for image in document.images if image.caption],
    )


def ours_with_captions(page: GoldPage) -> str:
    """Return our text with the captions that images carry, as a build has it."""
    document = extract_html(page.html, page.url, captions_in_text=True)
    return "" if document is None else _text(document)


def _text(document: Document) -> str:
    return "\n\n".join(node.text for node in document.texts)


def trafilatura(page: GoldPage) -> Found:
    """Extract with trafilatura's defaults; images from its XML."""
    import trafilatura as peer
    from lxml import etree

    html = decode_html(page.html)
    text = peer.extract(html, url=page.url) or ""
    if page.images is None:
        return Found(text)
    xml = peer.extract(html, url=page.url, output_format="xml", include_images=True)
    graphics: Iterable[Any] = etree.fromstring(xml.encode()).iter("graphic") if xml else ()
    return Found(text, [node.get("src") or "" for node in graphics])


def resiliparse(page: GoldPage) -> Found:
    """Extract with resiliparse's main content rules; it gives no images."""
    from resiliparse.extract.html2text import extract_plain_text

    return Found(extract_plain_text(decode_html(page.html), main_content=True))


def readability(page: GoldPage) -> Found:
    """Extract with readability-lxml; its HTML as text, blocks apart."""
    import readability as peer
    from lxml import html as lxml_html

    try:
        tree = lxml_html.fromstring(peer.Document(decode_html(page.html)).summary())
    except (peer.readability.Unparseable, ValueError, TypeError):
        return Found()
    for node in tree.iter("p", "div", "br", "li", "h1", "h2", "h3", "h4", "td", "pre", "blockquote"):
        node.tail = "\n" + (node.tail or "")
    return Found(tree.text_content(), [node.get("src") for node in tree.iter("img") if node.get("src")])


EXTRACTORS: dict[str, Callable[[GoldPage], Found]] = {
    "ours": ours,
    "trafilatura": trafilatura,
    "resiliparse": resiliparse,
    "readability": readability,
}


def score(pages: Sequence[GoldPage], found: Sequence[Found]) -> dict[str, float]:
    """Return the figures of one extractor on one set."""
    figures: dict[str, float] = {}
    scored = [(page, answer) for page, answer in zip(pages, found, strict=True) if page.text is not None]
    if scored:
        figures["F1"] = _mean(word_f1(answer.text, page.text or "") for page, answer in scored)
        kinds = sorted({page.kind for page, _ in scored})
        for kind in kinds if len(kinds) > 1 else ():
            of_kind = [(page, answer) for page, answer in scored if page.kind == kind]
            figures[f"  {kind}"] = _mean(word_f1(answer.text, page.text or "") for page, answer in of_kind)
    present = [snippet in answer.text for page, answer in zip(pages, found, strict=True) for snippet in page.present]
    absent = [snippet not in answer.text for page, answer in zip(pages, found, strict=True) for snippet in page.absent]
    if present:
        figures |= {"with": _mean(present), "without": _mean(absent)}
    return figures | _score_images(pages, found)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _score_images(pages: Sequence[GoldPage], found: Sequence[Found]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for page, answer in zip(pages, found, strict=True):
        if page.images is None:
            continue
        names = [file_name(url) for url in answer.images]
        wanted = frozenset[str]().union(*(image.names for image in page.images))
        counts["right"] += sum(name in wanted for name in names)
        counts["found"] += len(names)
        counts["hit"] += sum(bool(image.names.intersection(names)) for image in page.images)
        counts["gold"] += len(page.images)
        whole = _line(_text_of_page(page)) if any(image.caption for image in page.images) else ""
        for image in page.images:
            caption = _line(image.caption)
            if not caption.strip() or caption not in whole:
                continue
            counts["captions"] += 1
            attached = (_line(text) for url, text in answer.captions if file_name(url) in image.names)
            counts["attached"] += any(caption in text for text in attached)
    if not counts["gold"] or not counts["found"]:
        return {}
    figures = {"image P": counts["right"] / counts["found"], "image R": counts["hit"] / counts["gold"]}
    if counts["captions"] and any(answer.captions for answer in found):
        figures["captions attached"] = counts["attached"] / counts["captions"]
    return figures


def _text_of_page(page: GoldPage) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(decode_html(page.html), main_content=False))


def _line(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--limit", type=int, help="pages per set (default all)")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    names = ["ours"]
    for name, module in PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name}: not installed; for its figures: pip install {PACKAGES[name]}", file=sys.stderr)
        else:
            names.append(name)
    unseen: dict[str, float] = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))["unseen_sites"]
    print(f"{'set':<20}{'figure':<25}{'ours':>12}{'unseen':>12}" + "".join(f"{name:>12}" for name in names[1:]))
    for dataset in arguments.sets:
        pages = read_pages(arguments.data, dataset)[: arguments.limit]
        if not pages:
            print(f"{dataset}: no folder html_{dataset} in {arguments.data}", file=sys.stderr)
            continue
        table: dict[str, dict[str, float]] = {}
        for name in names:
            start = time.perf_counter()
            found = [EXTRACTORS[name](page) for page in pages]
            seconds = time.perf_counter() - start
            table[name] = {**score(pages, found), "pages/s": len(pages) / seconds}
        built = score(pages, [Found(ours_with_captions(page)) for page in pages])
        table["ours"] |= {f"{row}{BUILT}": value for row, value in built.items() if not row.startswith("  ")}
        show(dataset, len(pages), table, unseen)


def show(dataset: str, count: int, table: dict[str, dict[str, float]], unseen: dict[str, float]) -> None:
    """Print one line per figure; "-" where an extractor gives none."""
    for row in table["ours"]:
        key = f"{dataset}/{row.strip()} F1" if row.startswith("  ") else f"{dataset} {row}"
        digits = 0 if row == "pages/s" else 3
        is_built = key.endswith(BUILT)  # the figures on unseen sites name the other kind
        honest = (
            unseen.get(key.removesuffix(BUILT)) if is_built else unseen.get(f"{key}, captions apart", unseen.get(key))
        )
        values = [table["ours"].get(row), honest, *(table[name].get(row) for name in list(table)[1:])]
        cells = "".join(f"{'-' if value is None else format(value, f'.{digits}f'):>12}" for value in values)
        print(f"{dataset + f' ({count})':<20.20}{row:<25}{cells}", flush=True)


if __name__ == "__main__":
    main()
