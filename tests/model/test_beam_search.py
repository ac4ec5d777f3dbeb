"""Beam search: what transformers' own finds for text, and what a full search over few tokens finds with pictures."""

import itertools

import pytest
import torch

from model.generate import Prompt, Sampling, generate
from tests.model.conftest import tiny_model
from tests.model.test_generate import EOC, EOS, IMAGE, VOCABULARY, prompts


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize(("num", "penalty"), [(3, 0.0), (4, 1.0), (2, -1.0)])
def test_for_text_alone_it_finds_what_transformers_finds(model, num, penalty):
    model.language.generation_config.pad_token_id = 2
    for ids in ((5, 11, 12), (5, 30), (5, 3, 3, 20, 7)):
        expected = model.language.generate(
            torch.tensor([ids]), num_beams=num, length_penalty=penalty, max_new_tokens=7, do_sample=False,
            eos_token_id=[EOS, EOC], early_stopping=False, bad_words_ids=[[IMAGE], [5]],
        )[0, len(ids) :].tolist()  # fmt: skip
        expected = list(itertools.takewhile(lambda token: token not in (EOS, EOC), expected))
        found = generate(
            model, [Prompt(ids)], VOCABULARY, Sampling(beams=num, length_penalty=penalty, max_new_tokens=7)
        )
        assert found == [expected]


def test_a_batch_gives_what_each_prompt_gives_alone(model):

    beams = Sampling(beams=3, max_new_tokens=6)
    alone = [generate(model, [prompt], VOCABULARY, beams)[0] for prompt in prompts()]
    assert generate(model, prompts(), VOCABULARY, beams) == alone


def test_wide_beams_find_the_likeliest_of_all_continuations_with_pictures(model):

    prompt = prompts()[0]
    found = generate(model, [prompt], VOCABULARY, Sampling(beams=47, max_new_tokens=2, length_penalty=0.0))[0]
    first = log_probabilities(model, prompt, ())
    second = {
        token: log_probabilities(model, prompt, (token,)) for token in range(50) if token not in (IMAGE, 5, EOS, EOC)
    }
    best = {(): max(float(first[EOS]), float(first[EOC]))}
    for token, logs in second.items():
        best[(token,)] = float(first[token]) + max(float(logs[EOS]), float(logs[EOC]))
        best |= {(token, last): float(first[token] + logs[last]) for last in second}
    assert tuple(found) == max(best, key=lambda tokens: best[tokens])


def log_probabilities(model, prompt, more):
    tokens = torch.tensor([[*prompt.ids, *more]])
    shown = (tokens == IMAGE).cumsum(1)
    with torch.no_grad():
        scores = model(
            tokens, document_ids=torch.zeros_like(tokens), position_ids=torch.arange(tokens.shape[1])[None],
            image_index=torch.where(shown > 0, shown - 1, -1), images=torch.stack(prompt.images),
        ).logits[0, -1]  # fmt: skip
    scores[[IMAGE, 5]] = -torch.inf
    return scores.log_softmax(-1)
