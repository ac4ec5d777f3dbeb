"""Thresholds over what the dump itself measured."""

from __future__ import annotations

import numpy as np
import pytest

from filters.stored_score import StoredScore
from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, AtMost, BestFraction, OneOf


def test_each_named_column_becomes_a_rule_over_the_dumps_own_measure():
    made = StoredScore(at_least={"similarity": 0.28}, at_most={"punsafe": 0}, one_of={"NSFW": ("UNLIKELY", "UNSURE")})
    assert made.rules() == (
        AtLeast("dump_similarity", 0.28, "dump_similarity_low"),
        AtMost("dump_punsafe", 0, "dump_punsafe_high"),
        OneOf("dump_NSFW", ("UNLIKELY", "UNSURE"), "dump_nsfw_unwanted"),
    )


def test_the_best_share_of_a_column_is_a_rule_over_the_whole_set():
    (rule,) = StoredScore(best={"clip": 0.3}).rules()
    assert rule == BestFraction("dump_clip", 0.3, "dump_clip_not_best")


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="expected a share above 0 and at most 1"):
        StoredScore(best={"clip": share})


def test_without_a_bound_it_states_nothing():
    assert StoredScore().rules() == ()


@pytest.mark.parametrize("keep_unknown", [False, True])
def test_what_the_dump_did_not_measure_stays_only_when_asked(keep_unknown):
    made = StoredScore(at_least={"a": 1}, at_most={"b": 1}, one_of={"c": ("x",)}, keep_unknown=keep_unknown)
    low, high, slug = made.rules()
    numbers = np.array([0.5, 1.0, 1.5, np.nan])
    assert low.passes(numbers).tolist() == [False, True, True, keep_unknown]
    assert high.passes(numbers).tolist() == [True, True, False, keep_unknown]
    assert slug.passes(np.array(["x", "y", None], dtype=object)).tolist() == [True, False, keep_unknown]


def test_it_drops_images_by_default_and_documents_when_told():
    assert (StoredScore().level, StoredScore(of="document").level) == ("image", "document")


def test_the_reason_of_an_odd_column_name_is_a_slug():
    (rule,) = StoredScore(at_least={"CLIP-score (L/14)": 0.2}).rules()
    assert rule.reason == "dump_clip_score_l_14_low"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"at_least": {"a": float("nan")}}, "the bound of 'a' is not a number"),
        ({"at_least": {"a": 2}, "at_most": {"a": 1}}, "at_least of 'a' is 2, above at_most 1"),
    ],
)
def test_a_bound_that_nothing_can_meet_is_a_config_error(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        StoredScore(**settings)
