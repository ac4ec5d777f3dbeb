"""Caption words: every line of ptb_lines.txt as the original tokenizer printed it, and what COCO removes."""

from pathlib import Path

from model.evaluation.metrics.ptb_words import PUNCTUATION, words

LINES = Path(__file__).with_name("ptb_lines.txt").read_text(encoding="utf-8").split("\n")[:-1]


def test_odd_lines_become_the_words_of_the_original():
    """The odd lines are ours; the even ones its output for all of them as one file, PTBTokenizer -lowerCase."""
    texts, printed = LINES[::2], LINES[1::2]
    expected = [[word for word in line.split(" ") if word and word not in PUNCTUATION] for line in printed]
    assert len(texts) > 70
    for text, found, wanted in zip(texts, words(texts), expected, strict=True):
        assert found == wanted, text


def test_no_caption_and_a_caption_of_punctuation_have_no_words():
    assert words([]) == []
    assert words(["", "...", "a"]) == [[], [], ["a"]]


def test_brackets_and_double_exclamation_marks_stay_as_in_the_original():
    assert words(["A (red) bus!!"]) == [["a", "-lrb-", "red", "-rrb-", "bus", "!!"]]


def test_a_line_break_inside_a_caption_is_a_space():
    assert words(["a dog\nruns", "b"]) == [["a", "dog", "runs"], ["b"]]


def test_an_abbreviation_looks_at_the_first_letter_of_the_next_caption():
    assert words(["pots, pans etc.", "a cat"])[0] == ["pots", "pans", "etc."]
    assert words(["in the U.S.", "The cat", "x"])[0] == ["in", "the", "u.s."]
