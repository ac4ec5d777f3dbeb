"""Regions of a page as ranges: what a container holds is what stands in it and below it."""

from __future__ import annotations

import numpy as np

from pipelines.html_blocks import Block, Element, Page, distinct

# root 0 > a 1 > b 2, root > c 3; blocks in b, a, c, root
PAGE = Page(
    blocks=[Block("paragraph", "x", container) for container in (2, 1, 3, 0)],
    containers=[Element("html"), Element("a"), Element("b"), Element("c")],
    parents=[-1, 0, 1, 0],
)


def test_sums_are_over_all_blocks_inside() -> None:
    sums = PAGE.regions.sums(np.array([[1, 10, 100, 1_000], [1, 1, 1, 1]]))
    assert sums.tolist() == [[1_111, 11, 1, 100], [4, 2, 1, 1]]


def test_blocks_are_inside_what_is_above_them() -> None:
    assert PAGE.regions.inside([1]).tolist() == [True, True, False, False]
    assert PAGE.regions.inside([2, 3]).tolist() == [True, False, True, False]
    assert PAGE.regions.inside([0, 1]).tolist() == [True] * 4
    assert PAGE.regions.inside([]).tolist() == [False] * 4


def test_values_are_taken_upwards_to_the_root() -> None:
    found = PAGE.regions.upwards(np.array([[0, 1, 2, 3]]), 3)
    assert [row.tolist() for row in found] == [[2, 1, 3, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_a_page_without_blocks_sums_to_zero() -> None:
    assert Page().regions.sums(np.zeros((1, 0))).tolist() == [[0.0]]


def test_values_are_gathered_along_the_path_from_the_root() -> None:
    values = np.array([[1, 10, 100, 1_000], [0, 3, 2, 0]])
    assert PAGE.regions.along_paths(values, np.add).tolist() == [[1, 11, 111, 1_001], [0, 3, 5, 0]]
    assert PAGE.regions.along_paths(values, np.maximum)[1].tolist() == [0, 3, 3, 0]


def test_a_long_path_is_gathered_whole() -> None:
    page = Page(containers=[Element("div")] * 1_000, parents=list(range(-1, 999)))
    assert page.regions.along_paths(np.ones((1, 1_000)), np.add)[0].tolist() == list(range(1, 1_001))


def test_the_same_element_is_known_once() -> None:
    first, second = Element("p", "a"), Element("p", "a")
    kinds, at = distinct([first, second, first])
    assert kinds == [first, second]
    assert at.tolist() == [0, 1, 0]
