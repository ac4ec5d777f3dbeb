"""Oblivious trees against a tree walked by hand, and the shipped weights as what the features need."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from pipelines.content_model import CHUNK, WEIGHTS, Trees, load_model
from pipelines.html_blocks import Page
from pipelines.html_features import features
from pipelines.html_head import read_head
from pipelines.html_image_features import image_features
from pipelines.html_walk import walk
from pipelines.html_words import Lexicon

URL = "http://a.b/page.html"
HTML = """<title>Shapes</title><nav><a href=/>Home</a></nav><article><h1>Shapes</h1>
<p>The red circle stands left of the blue square.</p><img src=x.png alt="a red circle"><p>End.</p></article>"""


def parsed(html: str = HTML) -> tuple[Page, object]:
    tree = LexborHTMLParser(html)
    head = read_head(tree, URL)
    return walk(tree.root, head.base_url), head


def test_trees_answer_as_walked_by_hand() -> None:
    # Tree 1 asks x0 > 1 (bit 0) and x1 > 5 (bit 1); tree 2 asks x1 > 0 and nothing else.
    trees = Trees(
        features=np.array([0, 1, 1, 0]),
        thresholds=np.array([1, 5, 0, np.inf], np.float32),
        leaves=np.array([[0, 1, 2, 3], [-1, 4, 0, 0]], np.float32),
        bias=0.5,
    )
    rows = np.array([[0, 0], [2, 0], [0, 6], [2, 6], [1, 5]], np.float32)
    sums = np.array([0 - 1, 1 - 1, 2 + 4, 3 + 4, 0 + 4]) + 0.5
    np.testing.assert_allclose(trees.probabilities(rows), 1 / (1 + np.exp(-sums)), rtol=1e-6)


def test_trees_answer_no_rows_with_none() -> None:
    assert load_model().text.probabilities(np.zeros((0, 500), np.float32)).shape == (0,)


def test_many_rows_are_answered_as_few() -> None:
    trees = load_model().text
    rows = np.random.default_rng(0).normal(size=(2 * CHUNK + 1, int(trees.features.max()) + 1)).astype(np.float32)
    of_each = np.concatenate([trees.probabilities(rows[at : at + 1]) for at in (0, CHUNK - 1, CHUNK, 2 * CHUNK)])
    np.testing.assert_allclose(trees.probabilities(rows)[[0, CHUNK - 1, CHUNK, 2 * CHUNK]], of_each, rtol=1e-5)


def test_the_card_belongs_to_the_weights() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


def test_the_trees_ask_only_for_features_that_exist() -> None:
    page, head = parsed()
    model = load_model()
    rows = features(page, head, model.lexicon)  # type: ignore[arg-type]
    of_images, at = image_features(page, head, rows, np.ones(len(rows), np.float32))  # type: ignore[arg-type]
    assert model.text.features.max() < rows.shape[1]
    assert model.image.features.max() < of_images.shape[1]
    assert [page.blocks[position].kind for position in at] == ["image"]


def test_features_are_finite_on_every_page() -> None:
    for html in ("<img src=x.png>", "<p>x", "<p>" + "1" * 5_000, "<a href=x>y</a>" * 50, HTML):
        page, head = parsed(html)
        rows = features(page, head, Lexicon({"t:shapes": 1.0}))  # type: ignore[arg-type]
        assert rows.shape[0] == len(page.blocks)
        assert np.isfinite(rows).all()


def test_words_move_features_through_the_lexicon_only() -> None:
    page, head = parsed()
    plain, moved = (features(page, head, Lexicon(known)) for known in ({}, {"t:circle": 2.0}))  # type: ignore[arg-type]
    changed = (plain != moved).any(axis=0)
    assert changed.any()
    assert (plain[:, 3:6] == 0).all()


def test_the_paragraph_is_likelier_content_than_the_menu() -> None:
    page, head = parsed()
    found = dict(zip((block.text for block in page.blocks), load_model().probabilities(page, head), strict=True))  # type: ignore[arg-type]
    assert found["The red circle stands left of the blue square."] > 0.8 > 0.2 > found["Home"]
