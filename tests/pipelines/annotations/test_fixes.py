"""Safe changes to a row: what is done, that it is said, and that nothing else is touched."""

from __future__ import annotations

import copy

import pytest

from pipelines.annotations.conversations import NotAConversation
from pipelines.annotations.fixes import fix_row


def row(*texts, **fields):
    """Turns like "q: hi" or "a: hello"."""
    who = {"q": "human", "a": "gpt", "s": "system"}
    found = [{"from": who[text[0]], "value": text[3:]} for text in texts]
    return {"id": 1, **fields, "conversations": found}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (("q: hi", "a: hello"), ("q: hi", "a: hello"), []),
        (("s: be", "a: x", "q: hi", "a: hello"), ("s: be", "q: hi", "a: hello"), ["turn_order"]),
        (("a: x", "a: y", "q: hi", "a: hello"), ("q: hi", "a: hello"), ["turn_order"]),
        (("q: hi", "a: hello", "q: bye"), ("q: hi", "a: hello"), ["turn_order"]),
        (("q: 1", "q: 2", "a: hello"), ("q: 1\n\n2", "a: hello"), ["turn_order"]),
        (("q: 1", "a: 2", "a: 3"), ("q: 1", "a: 2\n\n3"), ["turn_order"]),
        (("q: 1", "a:  ", "q: 2", "a: b"), ("q: 2", "a: b"), ["empty_answer"]),
        (("q: 1", "a: a", "q: 2", "a: "), ("q: 1", "a: a"), ["empty_answer"]),
        (("q: 0", "q: 1", "a: ", "a: late", "q: 2", "a: b"), ("q: 2", "a: b"), ["empty_answer", "turn_order"]),
    ],
)
def test_turns_out_of_order_and_empty_answers(before, after, reasons):
    given = row(*before)
    assert [reason for reason, _ in fix_row(given)] == reasons
    assert given == row(*after)


@pytest.mark.parametrize(
    ("fields", "question"),
    [({"image": "a.jpg"}, "<image>\nhi"), ({"images": ["a.jpg", "b.jpg"]}, "<image>\n<image>\nhi"), ({}, "hi")],
)
def test_images_without_a_place_come_before_the_first_question(fields, question):
    given = row("q: hi", "a: hello", "q: more", "a: yes", **fields)
    assert [reason for reason, _ in fix_row(given)] == (["no_placeholder"] if fields else [])
    assert given["conversations"][0]["value"] == question
    assert given["conversations"][2]["value"] == "more"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [(("q: hi",), "no_answer"), (("q: hi", "a: "), "empty_answer"), (("a: x",), "no_answer"), (("s: x",), "no_answer")],
)
def test_a_row_of_which_no_answer_is_left_is_left_out(texts, reason):
    with pytest.raises(NotAConversation) as problem:
        fix_row(row(*texts))
    assert problem.value.reason == reason


def test_a_row_that_cannot_be_read_is_not_touched():
    given = row("q: hi", "a: ")
    given["conversations"].append({"from": "alien", "value": "x"})
    before = copy.deepcopy(given)
    with pytest.raises(NotAConversation):
        fix_row(given)
    assert given == before


def test_a_mismatch_of_placeholders_has_no_safe_change():
    given = row("q: <image><image>hi", "a: hello", image="a.jpg")
    before = copy.deepcopy(given)
    assert fix_row(given) == []
    assert given == before
