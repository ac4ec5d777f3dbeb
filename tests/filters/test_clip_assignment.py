"""CLIP's cosines with every sentence are stored once; the assignment is made of them without a model."""

from __future__ import annotations

import numpy as np
import pytest

from filters.clip_assignment import MAX_SENTENCES, ClipAssignment, SentenceScorer
from filters.models.clip import TEXT_CHARACTERS, Look
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError

PAGE = Document(
    id="a",
    nodes=(TextNode(text="One. Two."), ImageNode(url="1"), TextNode(text="Three. Four."), ImageNode(url="2")),
)


def stored(*row):
    return np.array(row, dtype="<f4").tobytes()


class FakeClip:
    """The cosine of an image with a text is what the image's bytes say of the text's position."""

    def look(self, images, texts, *, at_all):
        assert not at_all
        cosines = [np.frombuffer(data, dtype="<f4")[: len(own)] for data, own in zip(images, texts, strict=True)]
        return [Look(np.ones(2), found, None) if len(found) else None for found in cosines]


def test_an_image_is_compared_with_every_sentence_in_order_twice_the_same_sentence_too():
    page = Document(id="a", nodes=(ImageNode(url="u", alt="alt"), TextNode(text="Same. Same.\nLast.")))
    assert ClipAssignment().texts_for(page, 0) == ("Same.", "Same.", "Last.")
    assert ClipAssignment().texts_for(Document(id="b", nodes=(ImageNode(url="u"),)), 0) == ()


def test_long_documents_and_sentences_are_cut():
    page = Document(id="a", nodes=(TextNode(text="x" * (TEXT_CHARACTERS + 1) + "\n" + "Word.\n" * MAX_SENTENCES),))
    texts = ClipAssignment().texts_for(page, 0)
    assert (len(texts), len(texts[0])) == (MAX_SENTENCES, TEXT_CHARACTERS)


def test_the_scorer_keeps_the_best_and_all_cosines():
    found = SentenceScorer(FakeClip()).score([stored(0.1, 0.3), b""], [("a", "b"), ("a", "b")])
    assert found[0] == {"sentence_score": 0.3, "similarities": stored(0.1, 0.3)}
    assert found[1] == {"sentence_score": None, "similarities": None}


def test_images_get_different_sentences_and_it_is_told_whether_the_page_has_them_there():
    scores = {1: stored(0.1, 0.2, 0.1, 0.9), 3: stored(0.1, 0.2, 0.1, 0.8)}
    assert ClipAssignment().assign(PAGE, scores) == {
        1: {"assigned_sentence": 3, "assigned_score": 0.9, "assigned_beside": 0},
        3: {"assigned_sentence": 1, "assigned_score": 0.2, "assigned_beside": 0},
    }


@pytest.mark.parametrize(("best", "beside"), [(0, 0), (1, 1), (2, 1), (3, 0)])
def test_beside_are_the_last_sentence_before_and_the_first_after(best, beside):
    row = [0.1] * 4
    row[best] = 0.5
    assert ClipAssignment().assign(PAGE, {1: stored(*row)})[1]["assigned_beside"] == beside


def test_an_image_that_no_sentence_fits_is_left_out_and_frees_its_sentence():
    scores = {1: stored(0.0, 0.14, 0.0, 0.0), 3: stored(0.0, 0.2, 0.0, 0.0)}
    found = ClipAssignment(min_similarity=0.15).assign(PAGE, scores)
    assert {image: one["assigned_sentence"] for image, one in found.items()} == {3: 1}
    assert ClipAssignment().assign(PAGE, {}) == {}


def test_both_bounds_are_rules_and_zero_is_a_bound():
    rules = ClipAssignment(min_similarity=0, min_assigned=0.24).rules()
    assert [(rule.measure, rule.bound) for rule in rules] == [("sentence_score", 0), ("assigned_score", 0.24)]
    assert ClipAssignment().rules() == ()


def test_a_batch_of_nothing_is_a_config_error():
    with pytest.raises(ConfigError, match="batch_size is 0"):
        ClipAssignment(batch_size=0)


def test_beside_is_told_by_the_whole_document_though_only_its_beginning_is_compared():
    page = Document(id="a", nodes=(TextNode(text="Word.\n" * (MAX_SENTENCES + 9)), ImageNode(url="1")))
    row = [0.1] * (MAX_SENTENCES - 1) + [0.5]
    found = ClipAssignment().assign(page, {1: stored(*row)})
    assert found[1] == {"assigned_sentence": MAX_SENTENCES - 1, "assigned_score": 0.5, "assigned_beside": 0}
