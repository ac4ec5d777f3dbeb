"""Generation: what the cache gives is what a full forward gives, in batches, and it ends where it should."""

import pytest
import torch

from infimm_data.stream.tokens import Vocabulary
from tests.model.conftest import pictures, tiny_model

IMAGE, EOC, EOS = 40, 41, 42
VOCABULARY = Vocabulary(
    encode=lambda text: ([], []), bos=5, eos=EOS, end_of_chunk=EOC, image=IMAGE, pad=2, fingerprint=""
)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def prompts():
    from model.generate import Prompt

    images = pictures(3)
    return [
        Prompt((5, IMAGE, 7, 8, IMAGE, 9), (images[0], images[1])),
        Prompt((5, 11, 12)),
        Prompt((5, 30, IMAGE), (images[2],)),
    ]


def greedy_by_full_forward(model, prompt, count):
    ids, found = list(prompt.ids), []
    images = torch.stack(prompt.images) if prompt.images else pictures(0)
    while len(found) < count:
        tokens = torch.tensor([ids])
        shown = (tokens == IMAGE).cumsum(1)
        with torch.no_grad():
            scores = model(
                tokens,
                document_ids=torch.zeros_like(tokens),
                position_ids=torch.arange(len(ids))[None],
                image_index=torch.where(shown > 0, shown - 1, -1),
                images=images,
            ).logits[0, -1]
        scores[[IMAGE, 5]] = -torch.inf
        token = int(scores.argmax())
        if token in (EOS, EOC):
            break
        found.append(token)
        ids.append(token)
    return found


def test_the_cache_gives_what_full_forwards_give_in_a_batch(model):
    from model.generate import Sampling, generate

    expected = [greedy_by_full_forward(model, prompt, 12) for prompt in prompts()]
    assert generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=12)) == expected
    assert max(map(len, expected)) == 12


def test_a_row_ends_at_the_end_of_a_chunk_or_of_the_text(model):
    from model.generate import Sampling, generate

    first = generate(model, prompts()[:1], VOCABULARY, Sampling(max_new_tokens=12))[0]
    for name in ("eos", "end_of_chunk"):
        ids = {"bos": 5, "eos": EOS, "end_of_chunk": EOC, "image": IMAGE, "pad": 2, name: first[4]}
        ended = Vocabulary(encode=VOCABULARY.encode, fingerprint="", **ids)
        found = generate(model, prompts()[:1], ended, Sampling(max_new_tokens=12))[0]
        assert found == first[: first.index(first[4])]


def test_no_image_token_is_ever_generated(model):
    from model.generate import Sampling, generate

    lm = model.language
    with torch.no_grad():
        saved = lm.lm_head.weight.clone()
        lm.lm_head.weight[IMAGE] = 100 * lm.lm_head.weight[11]
    hot = Sampling(max_new_tokens=30, temperature=5.0, seed=1)
    found = generate(model, prompts(), VOCABULARY, hot)
    with torch.no_grad():
        lm.lm_head.weight.copy_(saved)
    assert all(IMAGE not in tokens for tokens in found)


def test_sampling_follows_its_seed(model):
    from model.generate import Sampling, generate

    def sampled(seed):
        return generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=10, temperature=2.0, seed=seed))

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_a_tiny_top_p_is_greedy(model):
    from model.generate import Sampling, generate

    greedy = generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=8))
    assert generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=8, temperature=1.0, top_p=1e-9)) == greedy


def test_images_and_image_tokens_that_differ_in_number_are_an_error(model):
    from model.generate import Prompt, generate

    with pytest.raises(ValueError, match="1 <image> tokens, but 0 images"):
        generate(model, [Prompt((5, IMAGE))], VOCABULARY)
