"""Pages made to stall the parser are told before it runs, whatever they hide behind."""

from __future__ import annotations

import time

import pytest

from pipelines.html_limits import MAX_ATTRIBUTES, MAX_IMAGES, parsing_hazard


@pytest.mark.parametrize(
    "unit",
    [
        b"<div>",
        b"<ul><li>",
        b"<figure><span>",
        b"<div></x>",
        b"<div><!--</div>-->",
        b'<div a="</div>">',
        b"<div><script></div></script>",
        b"<div><textarea></div></textarea>",
        b"<DIV\n>",
    ],
)
def test_nesting_is_counted_whatever_it_hides_behind(unit: bytes) -> None:
    assert parsing_hazard(unit * 20_000, 10_000) == "page_too_deep"


@pytest.mark.parametrize(
    "unit",
    [
        b"<div></div>",
        b"<p>",
        b"<li>x",
        b"<br>",
        b"<img src=x>",
        b"<tr><td>",
        b"<b>x</b>",
        b"<a>",
        b"<span>",
        b"<div/></div>",
        b"< div >",
    ],
)
def test_a_long_flat_page_is_no_hazard(unit: bytes) -> None:
    assert parsing_hazard(unit * 20_000, 10_000) is None


@pytest.mark.parametrize("unit", [b"<a><b><i><font><nobr>", b"<font>", b"<strong><em>", b"<b><p>"])
def test_formatting_left_open_counts_as_depth(unit: bytes) -> None:
    assert parsing_hazard(unit * 10_001, 10_000) == "page_too_deep"


def test_images_of_a_page_are_bounded() -> None:
    assert parsing_hazard(b"<img src=x>" * MAX_IMAGES, 10_000) is None
    assert parsing_hazard(b"<IMG src=x>" + b"<img src=x>" * MAX_IMAGES, 10_000) == "too_many_images"


def test_the_depth_limit_is_inclusive() -> None:
    assert parsing_hazard(b"<div>" * 100, 100) is None
    assert parsing_hazard(b"<div>" * 101, 100) == "page_too_deep"


@pytest.mark.parametrize("attribute", [b"a%d=1 ", b"a%d='>' ", b'a%d=">" ', b"a%d "])
def test_attributes_of_one_element_are_bounded(attribute: bytes) -> None:
    many = b"".join(attribute % number for number in range(MAX_ATTRIBUTES + 1))
    assert parsing_hazard(b"<div " + many + b">", 10_000) == "too_many_attributes"


@pytest.mark.parametrize("unit", [b"<", b"<a", b'<a "', b"<a '", b"<!--", b"<script>", b'"', b"<a b=\"'"])
def test_the_check_is_linear(unit: bytes) -> None:
    start = time.perf_counter()
    parsing_hazard(unit * (2_000_000 // len(unit)), 10_000)
    assert time.perf_counter() - start < 3
