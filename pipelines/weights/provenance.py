"""What the shipped content model was made from: digests of the data, and of the features of one page."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from pipelines.html_features import features
from pipelines.html_head import read_head
from pipelines.html_image_features import image_features
from pipelines.html_walk import walk
from pipelines.html_words import Lexicon
from pipelines.weights.gold_pages import SETS

URL = "http://a.example/2024/shapes-on-paper.html"
SAMPLE = """<html><head><title>Shapes on paper</title><meta property="og:type" content="article">
<meta name="description" content="A red circle stands left of a blue square, and nobody knows why."></head><body>
<nav class="top-nav"><ul><li><a href="/">Home</a></li><li><a href="/news">News</a></li></ul></nav>
<main id="content"><article class="post-content"><h1>Shapes on paper</h1><p class="byline">By A. Painter, 3 May</p>
<figure><a href="/large/red-circle.jpg"><img src="/red-circle-300x200.jpg" width="300" height="200" alt="A circle">
</a><figcaption>A red circle.</figcaption></figure><p>A red circle stands left of a blue square. It is large, red and
round! Is it <a href="/why">known why</a>?</p><blockquote>No.</blockquote><pre>x = 1</pre><table><tr><td>1</td>
<td>2</td></tr></table></article>
<aside class="related"><h2>Read more</h2><a href="/other"><img src="/t.jpg?w=60" class="thumb">
Other shapes</a></aside></main><footer>Contact</footer></body></html>"""


def digest_of_features() -> str:
    """Return the digest of the features of a page, to three decimals: another one asks for another training."""
    tree = LexborHTMLParser(SAMPLE)
    head = read_head(tree, URL)
    page = walk(tree.root, head.base_url)
    rows = features(
        page, head, Lexicon({"c:article": 0.5, "bc:p": 0.25, "t:red": 1.0, "ic:thumb": -1.0, "u:red": 0.75})
    )
    of_images, _ = image_features(page, head, rows, np.linspace(0, 1, len(rows), dtype=np.float32))
    rounded = [np.round(table.astype(np.float64) * 1_000).astype(np.int64) for table in (rows, of_images)]
    return hashlib.sha256(b"".join(table.tobytes() for table in rounded)).hexdigest()


def digest_of_data(folder: Path) -> str | None:
    """Return the digest of all files of the sets that are trained on, None where a set is missing."""
    digest = hashlib.sha256()
    for name in SETS:
        root = folder / f"html_{name}"
        if not root.is_dir():
            return None
        for path in sorted(root.rglob("*")):
            if path.is_file():
                digest.update(f"{name}/{path.relative_to(root).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
