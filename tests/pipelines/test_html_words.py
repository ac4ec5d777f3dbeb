"""The weights of words against sums by hand: a word counts once per element or text, and in its own place only."""

from __future__ import annotations

import numpy as np

from infimm_data.document import ImageNode
from pipelines.html_blocks import Block, Element
from pipelines.html_characters import find_words
from pipelines.html_words import Lexicon

LEXICON = Lexicon(
    {"c:article": 0.5, "c:post": 1.0, "c:post-body": -2.0, "bc:post": 9.0, "t:red": 0.1, "t:blue": -0.3, "t:green": 0.2}
    | {"ic:thumb": -1.0, "u:large": 0.75, "a:circle": 0.25}
)


def test_an_element_is_its_tag_and_the_words_of_its_names() -> None:
    elements = [Element("article", "postBody post_2"), Element("div"), Element("div", "post")]
    assert LEXICON.of_elements("c", elements).T.tolist() == [[-0.5, -2.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    assert LEXICON.of_elements("bc", elements)[0].tolist() == [9.0, 0.0, 9.0]


def test_a_sum_that_is_nothing_is_nothing_whatever_the_order() -> None:
    found = LEXICON.of_texts(find_words(["red green blue", "", "blue, red; green! red"], 160))
    exact = 2.7755575615628914e-17  # what is left of 0.1 + 0.2 - 0.3 in doubles that are summed without loss
    assert found[0].tolist() == [exact, 0.0, exact]
    assert found[1:].T.tolist() == [[-0.3, 0.2], [0.0, 0.0], [-0.3, 0.2]]


def test_an_image_is_its_element_its_address_and_its_alternative_text() -> None:
    image = Block("image", "", 0, image=ImageNode(url="http://large.b/Large/x.png", alt="A circle"))
    image.element = Element("img", "thumb")
    plain = Block("image", "", 0, image=ImageNode(url="http://large.b/x.png"))
    assert LEXICON.of_images([image, plain]).T.tolist() == [[0.0, -1.0, 0.75], [0.0, 0.0, 0.0]]


def test_nothing_weighs_nothing() -> None:
    assert LEXICON.of_elements("c", []).shape == LEXICON.of_images([]).shape == (3, 0)
    assert LEXICON.of_texts(find_words([], 160)).shape == (3, 0)
    assert Lexicon({}).of_texts(find_words(["red"], 160)).tolist() == np.zeros((3, 1)).tolist()
