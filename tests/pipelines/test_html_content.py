"""From probabilities to a choice: how strict, on which pages, and what a caption follows."""

from __future__ import annotations

import numpy as np
import pytest

from infimm_data.document import ImageNode
from pipelines.html_blocks import Block, Element, Page
from pipelines.html_content import SHORT_PAGE, best_choice, choose, content_blocks
from pipelines.html_head import Head

TEXT = "word " * 100  # longer than a short page


def page(*blocks: Block, containers: tuple[Element, ...] = ()) -> Page:
    return Page(blocks=list(blocks), containers=[Element("html"), *containers], parents=[-1, *[0 for _ in containers]])


def text(words: str = TEXT, container: int = 0) -> Block:
    return Block("paragraph", words, container)


def image(container: int = 0) -> Block:
    return Block("image", "", container, image=ImageNode(url="http://a.b/x.png"))


def caption() -> Block:
    return Block("caption", "A red circle", 0, is_placed=True)


def chosen(probabilities: list[float], sizes: list[int]) -> list[bool]:
    return best_choice(np.array(probabilities, np.float32), np.array(sizes, np.float64)).tolist()


def test_a_sure_page_gets_a_strict_choice_and_an_unsure_one_a_generous_one() -> None:
    assert chosen([0.99, 0.4, 0.01], [1_000, 300, 300]) == [True, False, False]
    assert chosen([0.55, 0.4, 0.01], [1_000, 300, 300]) == [True, True, False]


def test_a_page_without_a_likely_text_keeps_what_comes_near_the_best() -> None:
    assert chosen([0.04, 0.02, 0.01], [1_000, 1_000, 1_000]) == [True, True, False]


def test_a_short_page_keeps_all_but_the_unlikely() -> None:
    assert chosen([0.97, 0.2, 0.1], [SHORT_PAGE - 20, 10, 9]) == [True, True, False]
    assert chosen([0.97, 0.2, 0.1], [SHORT_PAGE - 20, 10, 10]) == [True, False, False]


def test_a_single_text_is_kept_whatever_its_probability() -> None:
    assert chosen([0.0], [1]) == [True]


def test_a_page_without_blocks_has_no_content() -> None:
    assert content_blocks(Page(), Head(url="http://a.b/")) == []


def test_images_of_a_page_without_text_are_kept() -> None:
    assert choose(page(image(), image()), np.zeros(2, np.float32)) == [True, True]


@pytest.mark.parametrize(("probability", "is_kept"), [(0.9, True), (0.1, False)])
def test_a_caption_goes_with_its_image(probability: float, is_kept: bool) -> None:
    blocks = page(text(), image(), caption())
    assert choose(blocks, np.array([0.9, probability, 0.5], np.float32)) == [True, is_kept, is_kept]


def test_text_in_noscript_is_kept_only_where_there_is_no_other() -> None:
    noscript = (Element("noscript"),)
    both = page(text(), text(container=1), containers=noscript)
    assert choose(both, np.array([0.5, 0.9], np.float32)) == [True, False]
    assert choose(page(text(container=1), containers=noscript), np.array([0.1], np.float32)) == [True]


@pytest.mark.parametrize("main", [Element("main"), Element("div", role="main")])
def test_text_outside_a_main_element_is_dropped(main: Element) -> None:
    blocks = page(text(), text(container=1), containers=(main,))
    assert choose(blocks, np.array([0.9, 0.9], np.float32)) == [False, True]


def test_a_main_element_that_holds_little_is_not_believed() -> None:
    blocks = page(text(TEXT * 4), text("Few words.", 1), containers=(Element("main"),))
    assert choose(blocks, np.array([0.9, 0.9], np.float32)) == [True, True]
