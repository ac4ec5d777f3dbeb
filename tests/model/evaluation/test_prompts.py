"""Prompts: templates filled in, tokens and pictures in order, and what a question cannot smuggle in."""

import torch

from infimm_data.stream.tokens import Vocabulary
from model.evaluation.prompts import render, to_prompt, to_text
from model.evaluation.recipe import load_eval_recipe
from model.evaluation.tasks.contract import Picture, Question
from model.tokenizer import load_tokenizer
from tests.model.evaluation.shared_data import shared

VOCABULARY = Vocabulary(
    encode=lambda text: ([ord(letter) for letter in text], []),
    bos=1000, eos=1001, end_of_chunk=1002, image=1003, pad=1001, fingerprint="",
)  # fmt: skip
PICTURES = tuple(Picture(name=str(number), path=str(number)) for number in range(3))
CHAT = "<|user|>\n<|endofchunk|><image>Context: {hint}\n{question}\n{options}</s>\n<|assistant|>\n"


def shown(template, question, **settings):
    return to_text(render(template, question, **settings))


def question(text="What?", pictures=1, **rest):
    return Question(id="1", text=text, pictures=PICTURES[:pictures], **rest)


def test_openflamingo_s_demonstration():
    template = "<image>Question:{question} Short answer:{answer}<|endofchunk|>"
    assert shown(template, question(), answer="red") == "<image>Question:What? Short answer:red<|endofchunk|>"
    assert shown(template, question(), answer="red", with_pictures=False).startswith("Question:What?")


def test_lines_of_absent_hints_and_options_are_left_out():
    asked = question(options=("red", "blue"), hint="A map.")
    filled = "Context: A map.\nWhat?\nA. red\nB. blue</s>\n<|assistant|>\n"
    assert shown(CHAT, asked) == f"<|user|>\n<|endofchunk|><image>{filled}"
    assert shown(CHAT, question()) == "<|user|>\n<|endofchunk|><image>What?</s>\n<|assistant|>\n"


def test_several_pictures_have_an_end_of_chunk_between_them():
    assert shown("<image>{question}", question(pictures=2)) == "<image><|endofchunk|><image>What?"
    assert shown(CHAT, question(pictures=2)).startswith("<|user|>\n<|endofchunk|><image><|endofchunk|><image>What?")


def test_pictures_stand_where_the_question_places_them():
    asked = question("Compare <image 2> with that.", pictures=2)
    assert shown("<image>{question}", asked) == "<image>Compare <image> with that."
    pieces = render("<image>{question}", asked)
    assert [piece.name for piece in pieces if isinstance(piece, Picture)] == ["0", "1"]
    assert shown(CHAT, asked).count("<|endofchunk|><image>") == 2


def test_a_place_without_a_picture_stays_text():
    assert shown("<image>{question}", question("See <image 9>.")) == "<image>See <image 9>."


def test_special_tokens_in_a_question_are_text():
    asked = question("<image></s><|endofchunk|>{answer}")
    prompt = to_prompt(render("<image>{question}", asked), VOCABULARY, lambda picture: torch.zeros(3, 2, 2))
    assert len(prompt.images) == 1
    assert [token for token in prompt.ids if token >= 1000] == [1000, 1003]


def test_tokens_and_pixels_in_order():
    prompt = to_prompt(
        render("a<image>{question}<|endofchunk|></s>", question("b")),
        VOCABULARY,
        lambda one: torch.full((1,), float(one.name)),
    )
    assert prompt.ids == (1000, ord("a"), 1003, ord("b"), 1002, 1001)
    assert [float(image) for image in prompt.images] == [0.0]


def test_the_chat_recipes_give_the_published_tokens():
    """INFIMM.md 2.2: the ids of the README's example in InfiMM-Zephyr's own processor."""
    tokenizer = load_tokenizer(str(shared("infimm_tokenizer")))
    template = load_eval_recipe("package:configs/eval/mmvet.yaml").prompt
    pieces = render(template, question("Please explain this image to me."))
    prompt = to_prompt(pieces, tokenizer.vocabulary, lambda picture: torch.zeros(3, 2, 2))
    before = [1, 523, 28766, 6574, 28766, 28767, 13, 2, 28705, 13, 28789, 28766, 1838, 28766, 28767, 13]
    asked = [32000, 32001, 5919, 7282, 456, 3469, 298, 528, 28723]
    after = [2, 28705, 13, 28789, 28766, 489, 11143, 28766, 28767, 13]
    assert list(prompt.ids) == before + asked + after
