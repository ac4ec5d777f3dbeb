"""Labels from gold text: long texts by their words, short ones by their neighbours, repeats by their number."""

from __future__ import annotations

import pytest

from pipelines.weights.align import align

GOLD = (
    "Shapes\n\nThe red circle stands left of the blue square. Read more\n\nThe green triangle lies below both of them."
)


def test_texts_in_the_gold_count_and_others_do_not() -> None:
    texts = ["The red circle stands left of the blue square.", "We use cookies on this web site."]
    assert align(texts, GOLD) == [1.0, 0.0]


def test_a_text_partly_in_the_gold_counts_for_its_share() -> None:
    assert align(["The red circle stands. Buy it now today."], GOLD) == [0.5]


def test_a_short_text_counts_only_beside_its_neighbour() -> None:
    first, second = "The red circle stands left of the blue square.", "The green triangle lies below both of them."
    texts = ["Read more", first, "Read more", second, "Nothing else here to see.", "Shapes"]
    assert align(texts, GOLD) == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert align(["Shapes", first], GOLD) == [1.0, 1.0]


def test_two_short_texts_in_a_row_find_each_other() -> None:
    assert align(["One two", "three four"], "One two three four") == [1.0, 1.0]


def test_a_repeat_counts_as_often_as_the_gold_has_it() -> None:
    first, second = "The red circle stands left of the blue square.", "The green triangle lies below both of them."
    assert align([first, "x", "y", "z", "v", "w", first, "Read more", second], GOLD)[0] == 0.0


@pytest.mark.parametrize(
    ("texts", "gold", "labels"), [([], GOLD, []), (["", "..."], GOLD, [0.0, 0.0]), (["a"], "", [0.0])]
)
def test_nothing_to_align(texts: list[str], gold: str, labels: list[float]) -> None:
    assert align(texts, gold) == labels
