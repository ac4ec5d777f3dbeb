"""What an image says of itself: its link, the size in its address, and the words that it shares with texts."""

from __future__ import annotations

import numpy as np
import pytest
from selectolax.lexbor import LexborHTMLParser

from pipelines.html_features import features
from pipelines.html_head import Head
from pipelines.html_image_features import NUM_OWN, image_features
from pipelines.html_walk import walk
from pipelines.html_words import Lexicon

TITLE = "A red circle"


def own(html: str) -> list[float]:
    """Return what the first image of a page says of itself."""
    page = walk(LexborHTMLParser(html).root, "http://a.b/")
    head = Head(url="http://a.b/", title=TITLE, image="http://a.b/red-1200x630.jpg")
    rows = features(page, head, Lexicon({}))
    found, _ = image_features(page, head, rows, np.ones(len(rows), np.float32))
    return [round(float(value), 2) for value in found[0, rows.shape[1] :][:NUM_OWN]]


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("<img src=x.png>", 0),
        ("<a href=/story><img src=x.png></a>", 1),
        ("<a><img src=x.png></a>", 1),
        ("<a href=/large/y.JPG?z=1><span><img src=x.png></span></a>", -1),
        ("<a href=/get/x><img src=/small/x></a>", -1),
    ],
)
def test_a_link_leads_to_a_page_or_to_a_picture(html: str, kind: int) -> None:
    assert own(html)[5] == kind


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("x-150x100.png", [150, 1.5]),
        ("x.png?w=60", [60, -1]),
        ("/w_80/x.png", [80, -1]),
        ("0x1f.png", [-1, -1]),
        ("x.png", [-1, -1]),
    ],
)
def test_the_size_in_an_address_is_read(source: str, size: list[float]) -> None:
    assert own(f"<img src={source}>")[12:14] == size


@pytest.mark.parametrize(("source", "is_cover"), [("red-300x200.png", 1), ("/c/RED.webp?x=1", 1), ("blue.png", 0)])
def test_the_cover_is_known_in_any_size(source: str, is_cover: int) -> None:
    assert own(f"<img src={source}>")[14] == is_cover


def test_words_are_shared_with_the_title_and_the_texts_beside() -> None:
    of_title, likeness, links, is_beside = own("<p>x<img src=x.png alt='red square'><p><a href=y>A red square</a>")[17:]
    assert (of_title, likeness, links, is_beside) == (0.5, 1.0, 1.0, 1.0)
    assert own("<img src=x.png>")[17:] == [0.0, 0.0, -1.0, 0.0]
