"""One vote per site and word, and the lexicon as a site sees it that has not voted."""

from __future__ import annotations

import math

from pipelines.weights.learn_lexicon import PRIOR, LabelledBlock, count_votes, lexicon, site_votes, without_site


def test_a_site_votes_with_its_share_of_content() -> None:
    blocks = [LabelledBlock(["a"], 1.0, 3.0), LabelledBlock(["a", "b"], 0.0, 1.0)]
    assert site_votes(blocks) == {"a": 0.75, "b": 0.0}


def test_words_of_few_sites_are_not_known() -> None:
    votes = count_votes({"x": {"a": 1.0}, "y": {"a": 1.0, "b": 1.0}, "z": {"a": 1.0, "b": 1.0}})
    assert lexicon(votes) == {"a": round(math.log((3 + PRIOR / 2) / (PRIOR / 2)), 2)}


def test_words_that_tell_nothing_are_left_out() -> None:
    assert lexicon(count_votes({site: {"a": 0.5} for site in "wxyz"})) == {}


def test_a_site_that_has_not_voted_sees_the_others_only() -> None:
    others = {site: {"a": 1.0} for site in "xyz"}
    votes = count_votes({**others, "own": {"a": 0.0, "b": 1.0}})
    assert without_site(lexicon(votes), votes, "own") == lexicon(count_votes(others))
    assert without_site(lexicon(votes), votes, "other") == lexicon(votes)


def test_a_word_that_only_the_site_made_known_is_unknown_to_it() -> None:
    votes = count_votes({site: {"a": 1.0} for site in "xyz"})
    assert without_site(lexicon(votes), votes, "x") == {}
