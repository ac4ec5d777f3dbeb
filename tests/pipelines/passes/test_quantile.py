"""The cut of a best share, found by counting, against the same by partitioning the whole column."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infimm_data.rules import BestFraction
from pipelines.facts import Facts
from pipelines.passes.quantile import cut_of
from tests.pipelines.made_facts import make_facts


class InParts:
    """Facts in batches of given sizes."""

    def __init__(self, values, size):
        self.parts = [values[at : at + size] for at in range(0, len(values), size)]

    def batches(self):
        for part in self.parts:
            yield make_facts({"id": ["x"] * len(part), "score": part}, {}, [])


def scores(part: Facts):
    return part.document_column("score")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_that_of_the_whole_column(share, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=301) * 10.0 ** rng.integers(-300, 300, 301)
    values[rng.random(301) < 0.2] = np.nan
    values[:6] = [0.0, -0.0, math.inf, -math.inf, 5e-324, -5e-324]
    values[100:140] = values[141]  # equals
    rule = BestFraction("score", share, "worse")
    found = cut_of(InParts(values.tolist(), 50), rule, scores)
    expected = rule.cut(values)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_where_nothing_was_measured_there_is_no_cut():
    assert math.isnan(cut_of(InParts([math.nan] * 3, 2), BestFraction("score", 0.5, "worse"), scores))
