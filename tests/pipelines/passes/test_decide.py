"""What is kept, what is dropped, by which step and why: from hand-made facts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, AtMost, BestFraction, FirstOfGroup, GroupAtMost, OneOf
from pipelines.passes.decide import decide
from pipelines.passes.values import shown_values
from tests.pipelines.made_facts import make_facts, step

WORDS = step("words", "document", AtLeast("words", 10, "too_few_words"))
SIDE = step("size", "image", AtLeast("short_side", 100, "image_too_small"))
COUNT = step("count", "document", AtLeast("images_kept", 1, "too_few_images"), AtMost("images_kept", 2, "too_many"))
LOSS = step("loss", "document", AtMost("images_lost", 0, "images_lost"))
TWINS = step("twins", "document", FirstOfGroup("group", "twin"))

FACTS = make_facts(
    {"id": ["a", "b", "c"], "words": [10.0, 9.0, math.nan]},
    {"short_side": [100.0, 99.0, 500.0, None]},
    [0, 0, 1, 2],
)


def lines(found):
    """Return the funnel as (step, reason, came in, dropped)."""
    return [(line.step, line.reason, line.came_in, line.dropped) for line in found.funnel]


def documents_of(found):
    """Return what the ledger shows of each document."""
    return shown_values(found.facts, found, "document")


def images_of(found):
    return shown_values(found.facts, found, "image")


def test_bounds_are_inclusive_and_what_was_not_measured_is_dropped():
    found = decide(FACTS, [WORDS])
    assert found.documents.kept.tolist() == [True, False, False]
    assert found.documents.step.tolist() == ["", "words", "words"]
    assert found.documents.reason.tolist() == ["", "too_few_words", "too_few_words"]
    assert documents_of(found) == ["", "9", "not measured"]
    assert found.documents.threshold.tolist() == ["", "10", "10"]


def test_a_dropped_document_takes_its_images_with_it():
    found = decide(FACTS, [WORDS])
    assert found.images.kept.tolist() == [True, True, False, False]
    assert found.images.reason.tolist() == ["", "", "document_dropped", "document_dropped"]
    assert found.images.step.tolist() == ["", "", "document", "document"]


def test_a_dropped_image_leaves_its_document_and_its_neighbours():
    found = decide(FACTS, [SIDE])
    assert found.documents.kept.tolist() == [True, True, True]
    assert found.images.kept.tolist() == [True, False, True, False]
    assert images_of(found) == ["", "99", "", "not measured"]


def test_lost_images_are_those_that_earlier_steps_dropped_and_a_document_without_any_lost_none():
    found = decide(FACTS, [SIDE, LOSS])
    assert found.documents.kept.tolist() == [False, True, False]  # one lost its small image, one the unmeasured
    assert decide(FACTS, [LOSS, SIDE]).documents.kept.tolist() == [True, True, True]
    assert documents_of(found)[0] == "1"


def test_images_are_counted_as_they_stand_at_the_step():
    before = decide(FACTS, [COUNT, SIDE])
    after = decide(FACTS, [SIDE, COUNT])
    assert before.documents.kept.tolist() == [True, True, True]
    assert after.documents.kept.tolist() == [True, True, False]
    assert after.documents.reason.tolist() == ["", "", "too_few_images"]
    assert documents_of(after)[2] == "0"


def test_a_step_sees_only_what_earlier_steps_kept():
    found = decide(FACTS, [WORDS, SIDE])
    assert lines(found) == [("words", "too_few_words", 3, 2), ("size", "image_too_small", 2, 1)]
    turned = decide(FACTS, [SIDE, WORDS])
    assert lines(turned) == [("size", "image_too_small", 4, 2), ("words", "too_few_words", 3, 2)]


def test_a_row_is_dropped_once_by_the_first_rule_that_fails():
    two = step("two", "document", AtLeast("words", 100, "first"), AtLeast("words", 200, "second"))
    found = decide(FACTS, [two])
    assert set(found.documents.reason.tolist()) == {"first"}
    assert lines(found) == [("two", "first", 3, 3), ("two", "second", 0, 0)]


def test_no_steps_keep_everything():
    found = decide(FACTS, [])
    assert found.documents.kept.all()
    assert found.images.kept.all()
    assert found.funnel == []


@pytest.mark.parametrize("steps", [[], [WORDS, SIDE, COUNT, TWINS]])
def test_nothing_at_all_is_decided_without_complaint(steps):
    nothing = make_facts({"id": []}, {}, [])
    found = decide(nothing, steps)
    assert found.documents.kept.tolist() == []
    assert all(line.came_in == line.dropped == 0 for line in found.funnel)


def test_documents_without_any_image_are_decided():
    found = decide(make_facts({"id": ["a", "b"], "words": [10.0, 1.0]}, {}, []), [WORDS, SIDE, COUNT])
    assert found.documents.reason.tolist() == ["too_few_images", "too_few_words"]


@pytest.mark.parametrize("level", ["image", "document"])
def test_a_measure_that_nobody_has_passes_a_rule_that_keeps_the_unknown(level):
    rules = AtLeast("clip", 1, "low", True), AtMost("clip", 1, "high", True), OneOf("clip", ("x",), "other", True)
    found = decide(FACTS, [step("s", level, *rules)])
    assert found.documents.kept.all()
    assert found.images.kept.all()


def test_a_measure_that_nobody_has_is_named_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"'clip'.*There are: status, short_side"):
        decide(FACTS, [step("s", "image", AtLeast("clip", 1, "r"))])


def unfetched(*statuses):
    columns = {"short_side": [200.0] * len(statuses), "status": list(statuses)}
    return make_facts({"id": ["a", "b"]}, columns, [0] * len(statuses))


def test_an_image_that_was_not_fetched_is_dropped_with_its_status_as_reason():
    found = decide(unfetched("ok", "http_404", None, "timeout", "timeout"), [SIDE])
    assert found.images.reason.tolist() == ["", "http_404", "not_fetched", "timeout", "timeout"]
    assert set(found.images.step.tolist()[1:]) == {"fetch"}
    assert lines(found) == [
        ("fetch", "http_404", 5, 1),
        ("fetch", "not_fetched", 5, 1),
        ("fetch", "timeout", 5, 2),
        ("size", "image_too_small", 1, 0),
    ]


def test_the_status_is_asked_just_before_the_first_step_that_looks_at_pixels():
    url = step("url", "image", OneOf("url", ("u0", "u2"), "bad"))
    found = decide(unfetched("ok", "http_404", "http_404"), [url, COUNT])
    assert found.images.reason.tolist() == ["", "bad", "http_404"]
    assert [line.step for line in found.funnel] == ["url", "fetch", "count", "count"]


def test_the_status_is_asked_at_the_end_where_no_step_looks_at_pixels():
    found = decide(unfetched("ok", "http_404"), [step("url", "image", OneOf("url", ("u0", "u1"), "bad"))])
    assert found.images.kept.tolist() == [True, False]


def test_before_the_fetch_no_status_is_asked():
    assert decide(unfetched("ok", None), [], fetched=False).images.kept.all()


def groups(*slugs, images=(), **columns):
    return make_facts({"id": [str(n) for n in range(len(slugs))], "group": list(slugs), **columns}, {}, list(images))


def test_the_first_document_of_a_group_stays_and_documents_without_a_group_stay():
    found = decide(groups("g", None, "g", None, "h", "g"), [TWINS])
    assert found.documents.kept.tolist() == [True, True, False, True, True, False]


def test_the_ledger_names_the_document_that_stayed_and_the_rank():
    found = decide(groups("g", None, "g"), [TWINS])
    assert documents_of(found) == ["", "", "0"]
    assert found.documents.threshold.tolist() == ["", "", "rank images_kept, first"]


def test_the_member_with_most_images_stays():
    found = decide(groups("g", "g", "g", images=[0, 1, 1, 2, 2]), [TWINS])
    assert found.documents.kept.tolist() == [False, True, False]


def ranked(facts, *rank, dates=()):
    return replace(facts, rank=rank, dates=np.array(dates, dtype=float))


def test_the_rank_is_the_recipes_and_ties_go_to_the_first():
    facts = groups("g", "g", "g", "h", "h", words=[5.0, 9.0, 9.0, 1.0, 1.0], images=[0])
    assert decide(ranked(facts, "words"), [TWINS]).documents.kept.tolist() == [False, True, False, True, False]
    assert decide(ranked(facts, "-words"), [TWINS]).documents.kept.tolist() == [True, False, False, True, False]
    assert decide(ranked(facts, "images_kept", "words"), [TWINS]).documents.kept.tolist()[:3] == [True, False, False]
    assert decide(ranked(facts), [TWINS]).documents.kept.tolist() == [True, False, False, True, False]


def test_what_was_not_measured_ranks_last():
    facts = groups("g", "g", words=[math.nan, -5.0])
    assert decide(ranked(facts, "words"), [TWINS]).documents.kept.tolist() == [False, True]


def test_the_newest_stays_where_the_rank_says_so():
    assert decide(ranked(groups("g", "g"), "date", dates=[1, 2]), [TWINS]).documents.kept.tolist() == [False, True]


def test_two_comparing_steps_make_one_graph():
    """The second document is a twin of the first by one key and of the third by another."""
    other = step("other", "document", FirstOfGroup("second", "other_twin"))
    facts = groups("g", "g", None, "k", second=[None, "s", "s", None])
    found = decide(facts, [TWINS, other])
    assert found.documents.reason.tolist() == ["", "twin", "other_twin", ""]
    assert documents_of(found) == ["", "0", "0", ""]
    assert decide(facts, [other]).documents.kept.tolist() == [True, True, False, True]


def test_what_is_connected_with_an_earlier_dataset_goes_and_the_ledger_names_its_twin():
    facts = groups("g", "g", None, None, group_earlier=[None, "old", None, "older"])
    found = decide(facts, [TWINS])
    assert found.documents.kept.tolist() == [False, False, True, False]
    assert documents_of(found) == ["old", "old", "", "older"]
    assert lines(found) == [("twins", "twin_of_earlier", 4, 3), ("twins", "twin", 1, 0)]


def test_a_member_that_was_dropped_before_is_no_survivor():
    facts = groups("g", "g", words=[1.0, 20.0])
    assert decide(facts, [WORDS, TWINS]).documents.kept.tolist() == [False, True]
    assert decide(facts, [TWINS, WORDS]).documents.kept.tolist() == [False, False]


def test_a_text_of_too_many_documents_goes_from_all_of_them_whatever_else_was_dropped():
    facts = make_facts({"id": list("abcdef"), "text": ["x", "x", "x", "y", "y", None], "n": [0, 1, 1, 1, 1, 1]}, {}, [])
    first = step("few", "document", AtLeast("n", 1, "few"))
    found = decide(facts, [first, step("frequent", "document", GroupAtMost("text", 2, "often"))])
    assert found.documents.reason.tolist() == ["few", "often", "often", "", "", ""]
    assert documents_of(found)[1] == "3"


def test_the_best_share_is_of_the_whole_set_and_the_funnel_says_where_it_cuts():
    facts = make_facts({"id": ["a"]}, {"clip": [0.1, 0.4, 0.3, 0.2, None]}, [0] * 5)
    steps = [
        step("low", "image", AtMost("clip", 0.35, "high")),
        step("best", "image", BestFraction("clip", 0.5, "worse")),
    ]
    found = decide(facts, steps)
    assert found.images.reason.tolist() == ["worse", "high", "", "", "high"]
    assert found.funnel[-1].threshold == "0.2, the best 0.5 of all"


def test_no_groups_at_all_keep_everything():
    assert decide(groups(None, None), [TWINS]).documents.kept.all()


@pytest.mark.parametrize("seed", range(20))
def test_kept_and_dropped_are_what_came_in_whatever_the_steps(seed):
    draw = np.random.default_rng(seed)
    num_documents, num_images = int(draw.integers(0, 40)), int(draw.integers(0, 80))
    owners = np.sort(draw.integers(0, max(1, num_documents), num_images if num_documents else 0))
    facts = make_facts(
        {
            "id": [str(n) for n in range(num_documents)],
            "words": draw.choice([1.0, 10.0, np.nan], num_documents),
            "group": draw.choice(np.array(["g", "h", None], dtype=object), num_documents).tolist(),
        },
        {
            "short_side": draw.choice([1.0, 100.0, np.nan], len(owners)),
            "status": draw.choice(np.array(["ok", "http_404", None], dtype=object), len(owners)).tolist(),
        },
        owners,
    )
    steps = [[WORDS, SIDE, COUNT, TWINS][n] for n in draw.permutation(4)]
    found = decide(facts, steps)
    for verdicts in (found.documents, found.images):
        assert (verdicts.kept == (verdicts.step == "")).all()
        assert (verdicts.kept == (verdicts.reason == "")).all()
    for level, verdicts in (("document", found.documents), ("image", found.images)):
        dropped = sum(line.dropped for line in found.funnel if line.level == level)
        lost = int((verdicts.reason == "document_dropped").sum())
        assert int(verdicts.kept.sum()) + dropped + lost == len(verdicts.kept)
    assert found.documents.kept[facts.image_document[found.images.kept]].all()
    assert (np.array([s == "ok" for s in facts.image_column("status")], dtype=bool) | ~found.images.kept).all()
