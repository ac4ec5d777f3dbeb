"""VQA accuracy: the normal form of answers, the leave-one-out rule, and the official quirks."""

import pytest

from model.evaluation.metrics.vqa_accuracy import normal_answer, vqa_accuracy


def people(*answers: str) -> list[dict]:
    return [{"answer": answer, "answer_id": number} for number, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The Dog", "dog"),
        ("two", "2"),
        ("none", "0"),
        ("dont", "don't"),
        ("youd've", "you'd've"),
        ("it is, red.", "it is red"),
        ("red/blue", "red blue"),
        ("1,000 a", "1000"),
        ("3.5", "3.5"),
        ("5.", "5"),
        ("a\tb\n", "b"),
        ("", ""),
    ],
)
def test_normal_form(answer, normal):
    assert normal_answer(answer) == normal


def test_three_others_make_an_answer_right():
    assert vqa_accuracy("red", people(*["red"] * 4, *["blue"] * 6)) == 1.0
    assert vqa_accuracy("red", people(*["red"] * 3, *["blue"] * 7)) == pytest.approx((3 * 2 / 3 + 7) / 10)
    assert vqa_accuracy("red", people("red", *["blue"] * 9)) == pytest.approx(0.3)
    assert vqa_accuracy("green", people("red", *["blue"] * 9)) == 0.0


def test_where_all_people_agree_to_the_letter_nothing_is_normalised():
    assert vqa_accuracy("The dog.", people(*["dog"] * 10)) == 0.0
    assert vqa_accuracy("The dog.", people("dog.", *["dog"] * 9)) == 1.0
    assert vqa_accuracy("dog\n", people(*["dog"] * 9, "dog ")) == 1.0


def test_equal_records_without_ids_leave_together():
    same = [{"answer": "red"}] * 10
    assert vqa_accuracy("red", same) == 0.0
