"""Caption metrics on small cases worked out by hand, and at their edges."""

import math

import pytest

from model.evaluation.metrics.captions import bleu, cider, rouge_l

CAT, DOG = ["a", "cat", "sits", "on", "a", "mat"], ["two", "dogs", "run", "in", "the", "park"]


def test_the_same_words_score_full():
    assert bleu([CAT, DOG], [[CAT], [DOG]]).corpus == pytest.approx([1, 1, 1, 1])
    assert rouge_l([CAT], [[DOG, CAT]]) == [1.0]
    assert cider([CAT, DOG], [[CAT], [DOG]]) == pytest.approx([10, 10])


def test_nothing_in_common_scores_nothing():
    assert rouge_l([CAT], [["dogs"]]) == [0.0]
    assert cider([["x"], DOG], [[CAT], [DOG]])[0] == 0.0
    assert bleu([["x"]], [[CAT]]).corpus[0] < 1e-6


def test_a_word_in_every_picture_s_references_weighs_nothing():
    assert cider([["a"], ["a"]], [[["a"]], [["a"]]]) == [0.0, 0.0]


def test_one_picture_alone_has_no_frequencies_and_so_no_cider():
    assert cider([CAT], [[CAT]]) == [0.0]


def test_bleu_takes_the_closest_length_and_punishes_shorter_captions():
    caption, short, long = ["a", "b"], ["a", "b", "c"], ["a"] * 9
    assert bleu([caption], [[long, short]]).corpus[0] == pytest.approx(math.exp(1 - 3 / 2))


def test_rouge_l_by_hand():
    precision, recall = 2 / 3, 2 / 4
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l([["a", "x", "b"]], [[["a", "b", "c", "d"]]])[0] == pytest.approx(expected)


def test_a_caption_without_words_is_no_error():
    assert rouge_l([[]], [[CAT]]) == [0.0]
    assert cider([[], DOG], [[CAT], [DOG]])[0] == 0.0
    assert bleu([[]], [[CAT]]).images[0][0] < 1e-6
