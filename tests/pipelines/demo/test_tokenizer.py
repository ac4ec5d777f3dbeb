"""The demo's tokenizer: what is committed is what the code trains, and any text comes back."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer

from pipelines.demo.make_tokenizer import DIRECTORY, SPECIAL_TOKENS, VOCABULARY, write


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(DIRECTORY / "tokenizer.json"))


@pytest.mark.parametrize(
    "text",
    [
        "A red circle.",
        " two  spaces\n\n\ttabs ",
        "",
        "Café — “quotes”",
        "图中可以看到一个红色的圆形。",
        "🙂\x00",
        "don't stop",
    ],
)
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_have_the_first_ids_and_are_one_token_each(tokenizer):
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert tokenizer.encode("<image>").ids == [SPECIAL_TOKENS.index("<image>")]
    assert tokenizer.get_vocab_size() == VOCABULARY


def test_the_words_of_a_caption_are_about_one_token_each(tokenizer):
    text = "A drawing of two blue squares to the left of a large red circle."
    assert len(tokenizer.encode(text).ids) <= len(text.split()) + 2


def test_the_committed_tokenizer_is_what_the_code_trains(tmp_path):
    write(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((DIRECTORY / name).read_text())
