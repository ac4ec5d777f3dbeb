"""Charts: SVG without styles of its own, thresholds where they belong."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipelines.report_page.charts import LOST, Bound, Charts, Line

ALL = np.ones(100, dtype=bool)
ONE_TO_100 = np.arange(1.0, 101.0)


def dashed(charts, figure):
    """Return how many threshold lines a figure has."""
    names = [name for rule, name in charts._classes.items() if "--bound" in rule]
    return sum(len(re.findall(rf'class="{name}"', figure)) for name in names)


def test_colours_follow_the_theme_and_no_style_stands_in_the_figure():
    charts = Charts()
    figure = charts.histogram("m", ONE_TO_100, ALL)
    assert "style=" not in figure
    assert "<style" not in figure
    assert "#01" not in figure + charts.style
    assert "var(--kept)" in charts.style
    assert "font-family" not in charts.style


def test_a_threshold_within_reach_is_a_line_and_said():
    charts = Charts()
    figure = charts.histogram("m", ONE_TO_100, ALL, [Bound(50, "at least 50")])
    assert dashed(charts, figure) == 1
    assert "m: 100 measured; kept: at least 50" in figure


def test_a_threshold_far_away_is_said_and_not_drawn():
    charts = Charts()
    figure = charts.histogram("m", ONE_TO_100, ALL, [Bound(20_000, "at most 20000")])
    assert dashed(charts, figure) == 0
    assert "at most 20000" in figure


@pytest.mark.parametrize(
    "values", [[], [np.nan], [0.0], [5.0, 5.0], [0.0, 0.0, 1e9], [-1.0, 1e6], [np.inf, 1.0], [1e-12, 1.0, 2.0, 1e5]]
)
def test_any_values_give_a_figure(values):
    values = np.array(values)
    figure = Charts().histogram("m", values, np.ones(len(values), dtype=bool))
    known = int(np.isfinite(values).sum())
    assert f"m: {known} measured" in figure
    assert ("<svg" in figure) == (known > 0)


def test_the_same_values_give_the_same_bytes_and_other_charts_other_ids():
    first, again = (Charts().histogram("m", ONE_TO_100, ALL) for _ in range(2))
    assert first == again
    other = Charts().histogram("n", ONE_TO_100, ALL)
    assert set(re.findall(r' id="([^"]*)"', first)) & set(re.findall(r' id="([^"]*)"', other)) == set()


def test_a_dollar_is_no_formula():
    assert "<svg" in Charts().lines(
        "a $b$ <c>", [Line("$x", [1, 2], [1, 2]), Line("y", [1, 2], [2, 0])], unit="$", is_log=True
    )


def test_curves_take_no_colour_but_the_theme_s():
    charts = Charts()
    curves = [Line("a", [1, 2], [1, 20]), Line("b", [1, 2], [2, 30], LOST)]
    charts.lines("m", curves, unit="u", is_log=True)
    assert re.findall("#[0-9a-f]{6}", charts.style) == []
