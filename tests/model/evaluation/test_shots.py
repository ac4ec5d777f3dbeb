"""Demonstrations: seeded by the question, nearest last, and the two conventions of zero shots."""

import numpy as np
import pytest

from infimm_data.errors import ConfigError
from model.evaluation.prompts import to_text
from model.evaluation.shots import Shots, random_pool
from model.evaluation.tasks.contract import Picture, Question


def example(number: int) -> Question:
    picture = Picture(name=str(number), path=str(number))
    return Question(id=str(number), text=f"q{number}", pictures=(picture,), answers=(f"a{number}", "other"))


POOL = tuple(example(number) for number in range(10))
ASKED = Question(id="x", text="q?", pictures=(Picture(name="x", path="x"),))


def ids(questions) -> list[str]:
    return [one.id for one in questions]


def test_random_examples_depend_on_the_question_and_the_seed_alone(recipe):
    shots = Shots(recipe(), POOL)
    assert ids(shots.chosen(0, ASKED, 4)) == ids(shots.chosen(7, ASKED, 4))
    assert ids(shots.chosen(0, ASKED, 4)) != ids(shots.chosen(0, example(77), 4))
    assert len(set(ids(shots.chosen(0, ASKED, 10)))) == 10


def test_the_pool_is_drawn_once_and_keeps_the_order_of_the_file():
    pool = random_pool(POOL, size=4, seed=42)
    assert ids(pool) == sorted(ids(pool))
    assert pool == random_pool(POOL, size=4, seed=42)
    assert random_pool(POOL, size=None, seed=1) == random_pool(POOL, size=99, seed=1) == POOL


def test_rices_shows_the_most_alike_last(recipe):
    angles = np.arange(10) / 10
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    asked = np.array([[np.cos(0.32), np.sin(0.32)]], dtype=np.float32)
    shots = Shots(recipe(), POOL, asked, vectors)
    assert ids(shots.chosen(0, ASKED, 1)) == ["3"]
    assert ids(shots.chosen(0, ASKED, 3)) == ["2", "4", "3"]


def test_a_question_is_never_its_own_example(recipe):
    vectors = np.eye(10, dtype=np.float32)
    shots = Shots(recipe(), POOL, vectors, vectors)
    assert "3" not in ids(shots.chosen(3, POOL[3], 9))


def test_too_small_a_pool_is_an_error(recipe):
    with pytest.raises(ConfigError, match="11 demonstrations wanted, the pool has 10"):
        Shots(recipe(), POOL).chosen(0, ASKED, 11)


def test_zero_shots_show_two_examples_without_pictures_or_none(recipe):
    two = Shots(recipe(zero_shot="two_text_demonstrations", separator="\n"), POOL).prompt(0, ASKED, 0)
    text = to_text(two)
    assert text.count("<|endofchunk|>\n") == 2
    assert text.endswith("<image>q?")
    assert text.count("<image>") == 1
    assert to_text(Shots(recipe(), POOL).prompt(0, ASKED, 0)) == "<image>q?"


def test_examples_show_the_first_answer(recipe):
    text = to_text(Shots(recipe(), POOL[:1]).prompt(0, ASKED, 1))
    assert text == "<image>q0 a0.<|endofchunk|><image>q?"
