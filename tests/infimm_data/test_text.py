from __future__ import annotations

import random
import time

import pytest

from infimm_data.text import letters, normal_form, sentences, words


def test_letters_keep_marks_and_apostrophes_and_drop_the_rest() -> None:
    assert letters("  L’été 2024: (C++) & Žluťoučký — कौआ, _x_!") == "l'été c žluťoučký कौआ x"


def test_letters_of_addresses_are_dropped() -> None:
    assert letters("see https://the.org/and, www.of.com or me.too@with.that now") == "see or now"


def test_letters_of_a_long_run_without_spaces_take_linear_time() -> None:
    started = time.perf_counter()
    letters("a" * 200_000)
    letters("a." * 100_000 + "@")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("text", ["plain words, here", "don’t over-think it", "日本語と English 混在", "ไทย ok", ""])
def test_words_are_the_same_with_and_without_an_unspaced_script_beside_them(text: str) -> None:
    assert words(f"{text} 漢") == [*words(text), "漢"]


def test_unspaced_scripts_count_a_word_per_character() -> None:
    assert words("東京tower 2") == ["東", "京", "tower", "2"]


def test_sentences_end_at_marks_and_line_breaks() -> None:
    assert sentences('He left. "Why?" she asked.\nNo answer… 終わり。次。') == [
        "He left.", '"Why?', "she asked.", "No answer…", "終わり。", "次。",
    ]  # fmt: skip


def test_the_normal_form_ignores_layout_case_and_width() -> None:
    assert normal_form("  The ＯＬＤ\n\n(house)!") == "the old house"
    assert normal_form("…") == ""


def test_words_of_plain_ascii_are_those_that_other_texts_have() -> None:
    """Plain ASCII is cut in a faster way; a letter that is not ASCII, in a word of its own, takes the other one."""
    draw = random.Random(0)
    for _ in range(20_000):
        text = "".join(draw.choices("ab'-_ 9.\n\t\x1c\x00A,", k=draw.randint(0, 14)))
        assert words(text) == words(f"{text} é")[:-1]
