"""Rules: inclusive bounds, and nothing that was not measured passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, AtMost, BestFraction, OneOf, check_bounds, measured_with, within

NUMBERS = np.array([np.nan, 0.0, 4.999, 5.0, 5.001, np.inf])
OBJECTS = np.array([None, 5, True], dtype=object)


@dataclass(frozen=True)
class Bounds:
    min_side: float | None = None
    max_side: float | None = None
    keep: tuple[str, ...] = ()
    model: str = "m"

    def measure(self, document):
        return {"num": 1.0}


def test_at_least_is_inclusive_and_what_was_not_measured_fails():
    assert AtLeast("m", 5, "r").passes(NUMBERS).tolist() == [False, False, False, True, True, True]
    assert AtLeast("m", 0, "r").passes(OBJECTS).tolist() == [False, True, True]


def test_or_unknown_keeps_what_was_not_measured():
    assert AtLeast("m", 5, "r", or_unknown=True).passes(NUMBERS).tolist() == [True, False, False, True, True, True]
    assert AtLeast("m", 6, "r", or_unknown=True).passes(OBJECTS).tolist() == [True, False, False]


def test_at_most_is_inclusive_and_what_was_not_measured_fails():
    assert AtMost("m", 5, "r").passes(NUMBERS).tolist() == [False, True, True, True, False, False]
    assert AtMost("m", 0, "r").passes(OBJECTS).tolist() == [False, False, False]


def test_one_of_takes_slugs_and_never_none():
    values = np.array(["en", "de", None, "", "None"], dtype=object)
    assert OneOf("m", ("en", "", "None"), "r").passes(values).tolist() == [True, False, False, True, True]
    assert OneOf("m", (), "r").passes(values).tolist() == [False] * 5


@pytest.mark.parametrize("rule", [AtLeast("m", 1, "r"), AtMost("m", 1, "r"), OneOf("m", ("a",), "r")])
def test_no_rows_give_no_answers(rule):
    assert rule.passes(np.empty(0)).tolist() == []


def test_within_leaves_out_bounds_that_are_off_and_keeps_zero():
    assert within("m", None, None) == ()
    assert within("m", 0, None, below="b") == (AtLeast("m", 0, "b"),)
    assert within("m", 0, 0, below="b", above="a") == (AtLeast("m", 0, "b"), AtMost("m", 0, "a"))


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(1, 1), Bounds(0, 5), Bounds(None, 1), Bounds(9, None)])
def test_possible_bounds_are_taken(bounds):
    check_bounds(bounds)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [(Bounds(2, 1), "min_side is 2, above max_side 1"), (Bounds(float("nan")), "min_side is not a number")],
)
def test_impossible_bounds_are_refused(bounds, said):
    with pytest.raises(ConfigError, match=said):
        check_bounds(bounds)


def test_a_bound_does_not_shape_what_is_measured_but_a_model_does():
    assert measured_with(Bounds(1, 2, ("a",))) == measured_with(Bounds()) == {"model": "m"}
    assert measured_with(Bounds(model="n")) == {"model": "n"}


def test_a_filter_that_measures_nothing_has_bounds_alone():
    @dataclass(frozen=True)
    class Stored:
        at_least: dict[str, float]

    assert measured_with(Stored({"similarity": 0.3})) == {}


@pytest.mark.parametrize(
    ("share", "passing"),
    [(0.3, [4.0, 5.0]), (0.2, [4.0, 5.0]), (0.19, [5.0]), (1.0, [1.0, 2.0, 3.0, 4.0, 5.0])],
)
def test_the_best_share_passes_down_to_the_value_at_its_place(share, passing):
    values = np.array([3.0, 5.0, np.nan, 1.0, 4.0, 2.0])
    rule = BestFraction("m", share, "r")
    assert sorted(values[rule.passes(values)]) == passing
    assert rule.cut(values) == passing[0]


def test_equals_pass_together_and_the_unknown_where_it_is_asked():
    values = np.array([1.0, 1.0, np.nan, 1.0])
    assert BestFraction("m", 0.1, "r").passes(values).tolist() == [True, True, False, True]
    assert BestFraction("m", 0.1, "r", or_unknown=True).passes(values).tolist() == [True] * 4
    nothing = np.array([np.nan, np.nan])
    assert BestFraction("m", 0.5, "r").passes(nothing).tolist() == [False, False]
    assert BestFraction("m", 0.5, "r", or_unknown=True).passes(nothing).tolist() == [True, True]
    assert BestFraction("m", 0.5, "r").passes(np.array([])).tolist() == []
