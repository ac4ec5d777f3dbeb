"""Options read from answers, by the rules of each benchmark; nothing is guessed."""

import pytest

from model.evaluation.metrics.choices import mmbench_choice, mmmu_choice, science_qa_choice
from model.evaluation.metrics.grades import parse_grade, weighted_score
from model.evaluation.metrics.open_answer import is_right
from model.evaluation.metrics.yes_no import parse_yes_no, picture_points

OPTIONS = {"A": "red", "B": "dark blue", "C": "green"}


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("B", 1),
        (" B\n", None),
        ("B. blue", 1),
        ("The answer is C.", 2),
        ("So The answer is A, I think", 0),
        ("So The answer is A", None),
        ("The answer is A. The answer is B.", None),
        ("The answer is A. The answer is Z.", None),
        ("A\nbecause", None),
        ("E", None),
        ("b", None),
        ("", None),
    ],
)
def test_science_qa(answer, index):
    assert science_qa_choice(answer, 3) == index


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(B) dark blue", "B"), ("it is dark blue", "B"), ("A or B", None), ("", None), ("Z", "Z"),
     ("B.", "B"),
     ("x" * 99 + "red", None), ("Cannot determine the answer", "Z")],
)  # fmt: skip
def test_mmbench(answer, letter):
    assert mmbench_choice(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(A) no, (C)", "C"), ("A B", "B"), ("I think that it is Dark Blue indeed", "B"), ("dark blue", None),
     ("", None),
     ("B.", "B"), ("the red one and then the green one", "C")],
)  # fmt: skip
def test_mmmu_takes_the_last_named(answer, letter):
    assert mmmu_choice(answer, tuple(OPTIONS), OPTIONS) == letter


@pytest.mark.parametrize(
    ("answer", "references", "right"),
    [
        ("The answer is 1,000.004", ["1000"], True),
        ("x = 5", ["5"], True),
        ("so it is 5\nno", ["5"], True),
        ("50", ["5"], False),
        ("the result is a cat", ["cat"], True),
        ("dog", ["cat", "dog"], True),
        ("", ["5"], False),
        ("1e3", ["1000"], True),
    ],
)
def test_open_answers(answer, references, right):
    assert is_right(answer, references) is right


@pytest.mark.parametrize(
    ("said", "label"),
    [("Yes, it is", "yes"), ("no", "no"), ("I do not", "other"), ("A yes", "other"), ("nyes", "yes"), ("", "other")],
)
def test_yes_and_no_are_read_in_the_first_four_characters(said, label):
    assert parse_yes_no(said) == label


def test_points_of_a_picture():
    assert [picture_points(right) for right in ([True, True], [True, False], [False, False])] == [200, 50, 0]


@pytest.mark.parametrize(
    ("said", "grade"), [("0.5", 0.5), (" 1.0\n", 1.0), ("1", 1.0), (".3", 0.3), ("2", None), ("good", None), ("", None)]
)
def test_grades(said, grade):
    assert parse_grade(said) == grade


def test_high_complexity_counts_twice():
    assert weighted_score({1: [1.0, 0.0], 2: [1.0]}) == pytest.approx(100 * (1 + 2) / (2 + 2))
