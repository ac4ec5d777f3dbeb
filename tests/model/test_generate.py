"""Generation: what the cache gives is what a full forward gives, in batches, and it ends where it should."""

import pytest
import torch

from infimm_data.errors import InfiMMError
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
    full, found = FullForward(model, [prompt], VOCABULARY), []
    while len(found) < count:
        scores = full.scores()[0]
        scores[[IMAGE, 5]] = -torch.inf
        token = int(scores.argmax())
        if token in (EOS, EOC):
            break
        found.append(token)
        full.add([token])
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


@pytest.mark.parametrize("how", [{}, {"beams": 2}, {"temperature": 1.0}])
def test_a_model_with_a_weight_that_is_no_number_says_so_and_nothing_else(how):
    from model.generate import Sampling, generate

    broken = tiny_model()
    with torch.no_grad():
        broken.perceiver.latents[0, 0] = torch.nan
    with pytest.raises(InfiMMError, match="scores are not numbers: a weight of it is none; take an earlier checkpoint"):
        generate(broken, prompts(), VOCABULARY, Sampling(max_new_tokens=3, **how))
    assert generate(broken, prompts()[1:2], VOCABULARY, Sampling(max_new_tokens=3))[0], "it sees no image"


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


class FullForward:
    """What `model.decoding.Decoding` answers, from a full forward of each sequence at each step."""

    def __init__(self, model, prompts, vocabulary):
        self.model, self.sequences = model, [(list(prompt.ids), prompt.images) for prompt in prompts]

    def scores(self):
        found = []
        for ids, images in self.sequences:
            tokens = torch.tensor([ids])
            shown = (tokens == IMAGE).cumsum(1)
            with torch.no_grad():
                out = self.model(
                    tokens,
                    document_ids=torch.zeros_like(tokens),
                    position_ids=torch.arange(len(ids))[None],
                    image_index=torch.where(shown > 0, shown - 1, -1),
                    images=torch.stack(images) if images else pictures(0),
                )
            found.append(out.logits[0, -1])
        return torch.stack(found)

    def add(self, tokens):
        self.sequences = [([*ids, int(t)], images) for (ids, images), t in zip(self.sequences, tokens, strict=True)]

    def select(self, sequences):
        self.sequences = [self.sequences[i] for i in sequences.tolist()]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beams_with_the_cache_are_beams_with_full_forwards(model, monkeypatch, length_penalty):
    from model.generate import Sampling, generate

    three = Sampling(max_new_tokens=6, beams=3, length_penalty=length_penalty)
    cached = generate(model, prompts(), VOCABULARY, three)
    monkeypatch.setattr("model.generate.Decoding", FullForward)
    assert cached == generate(model, prompts(), VOCABULARY, three)


@pytest.mark.parametrize("stop", [(EOS, EOC, 33, 21), tuple(range(10, 30))], ids=["few ends", "many ends"])
@pytest.mark.parametrize(
    ("beams", "length_penalty", "shortest"), [(3, 0.0, 0), (3, 1.0, 0), (4, 2.0, 3), (2, -1.0, 0), (1, 1.0, 4)]
)
def test_text_is_continued_as_transformers_does(model, beams, length_penalty, shortest, stop):
    """On prompts without images the model is its language model, whose own `generate` is the reference."""
    from model.generate import Prompt, Sampling, generate

    texts = [(5, 11, 12), (5, 30, 7, 8, 9), (5,)]
    sampling = Sampling(
        max_new_tokens=9, min_new_tokens=shortest, beams=beams, length_penalty=length_penalty, stop=stop
    )
    ours = generate(model, [Prompt(ids) for ids in texts], VOCABULARY, sampling)
    width = max(map(len, texts))
    padded = torch.tensor([[2] * (width - len(ids)) + list(ids) for ids in texts])
    attended = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in texts])
    theirs = model.language.generate(
        padded, attention_mask=attended, max_new_tokens=9, min_new_tokens=shortest, num_beams=beams, do_sample=False,
        length_penalty=length_penalty if beams > 1 else None, eos_token_id=list(stop), pad_token_id=stop[0],
        suppress_tokens=[IMAGE, 5],
    )[:, width:].tolist()  # fmt: skip
    ended = [[*ids, stop[0]] for ids in theirs]
    assert ours == [ids[: next(i for i, token in enumerate(ids) if token in stop)] for ids in ended]


def test_beams_find_what_greedy_misses(model):
    from model.generate import Sampling, generate

    def total(prompt, tokens):
        full = FullForward(model, [prompt], VOCABULARY)
        score = 0.0
        for token in tokens:
            score += float(full.scores()[0].log_softmax(-1)[token])
            full.add([token])
        return score

    plain = Sampling(max_new_tokens=5, stop=(), beams=1)
    wide = Sampling(max_new_tokens=5, stop=(), beams=8, length_penalty=0.0)
    greedy, beamed = (generate(model, prompts(), VOCABULARY, chosen) for chosen in (plain, wide))
    totals = [(total(p, one), total(p, best)) for p, one, best in zip(prompts(), greedy, beamed, strict=True)]
    assert all(best >= one - 1e-5 for one, best in totals)
    assert any(best > one + 1e-3 for one, best in totals)


@pytest.mark.parametrize("beams", [1, 3])
def test_nothing_ends_before_the_least_number_of_tokens_or_goes_beyond_the_most(model, beams):
    from model.generate import Sampling, generate

    every = tuple(i for i in range(50) if i not in (7, 8, 9))  # nearly every token ends a sequence
    for shortest in (0, 1, 4):
        bounds = Sampling(max_new_tokens=4, min_new_tokens=shortest, stop=every, beams=beams)
        found = generate(model, prompts(), VOCABULARY, bounds)
        assert all(shortest <= len(tokens) <= 4 for tokens in found)
        assert all(token in (7, 8, 9) for tokens in found for token in tokens)
    assert min(map(len, generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=4, stop=every)))) < 4


def test_without_stop_tokens_every_row_runs_to_the_end(model):
    from model.generate import Sampling, generate

    assert [len(t) for t in generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=40, stop=()))] == [40] * 3


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_is_the_same_alone_and_in_a_batch(model, beams):
    from model.generate import Sampling, generate

    chosen = Sampling(max_new_tokens=6, beams=beams)
    together = generate(model, prompts(), VOCABULARY, chosen)
    assert together == [generate(model, [prompt], VOCABULARY, chosen)[0] for prompt in prompts()]


def test_images_are_encoded_and_keyed_once_for_a_whole_generation(model, monkeypatch):
    from model.cross_attention import MaskedCrossAttention
    from model.generate import Sampling, generate

    calls = []
    original = MaskedCrossAttention.media_keys
    monkeypatch.setattr(
        MaskedCrossAttention, "media_keys", lambda self, latents: calls.append(len(latents)) or original(self, latents)
    )
    generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=5, beams=3, stop=()))
    assert calls == [3, 3]  # three images, once in each of two blocks, whatever the beams


@pytest.mark.parametrize("name", ["infimm_causal", "openflamingo", "idefics", "flamingo"])
def test_the_cache_is_exact_under_every_semantics(name):
    from model.generate import Sampling, generate

    model = tiny_model(blocks={"semantics": name})
    expected = [greedy_by_full_forward(model, prompt, 5) for prompt in prompts()]
    assert generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=5)) == expected


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt_neox"])
def test_the_cache_is_exact_with_every_kind_of_language_model(model_type):
    from model.generate import Sampling, generate

    model = tiny_model(model_type=model_type)
    expected = [greedy_by_full_forward(model, prompt, 5) for prompt in prompts()]
    assert generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=5)) == expected


def test_no_prompts_and_no_tokens_give_nothing(model):
    from model.generate import Prompt, Sampling, generate

    assert generate(model, [], VOCABULARY) == []
    assert generate(model, prompts(), VOCABULARY, Sampling(max_new_tokens=0)) == [[], [], []]
    with pytest.raises(ValueError, match="prompt 0: no tokens"):
        generate(model, [Prompt(())], VOCABULARY)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"min_new_tokens": 3, "max_new_tokens": 2}, "min_new_tokens 3, expected 0 to max_new_tokens 2"),
        ({"top_p": 0.0}, r"top_p 0\.0"),
        ({"temperature": -1.0}, r"temperature -1\.0"),
        ({"beams": 0}, "beams 0"),
        ({"beams": 2, "temperature": 1.0}, r"2 beams at temperature 1\.0"),
    ],
)
def test_settings_that_contradict_each_other_are_errors(settings, problem):
    from model.generate import Sampling

    with pytest.raises(ValueError, match=problem):
        Sampling(**settings)


def test_a_prompt_longer_than_the_model_holds_is_one_line():
    from infimm_data.errors import ConfigError
    from model.generate import Prompt, Sampling, generate

    model = tiny_model()
    room = model.max_tokens - 5
    prompt = Prompt((5, *[11] * (room - 1)))
    assert len(generate(model, [prompt], VOCABULARY, Sampling(max_new_tokens=5, stop=()))[0]) == 5
    with pytest.raises(ConfigError, match=rf"^a prompt of {room} tokens and 6 new ones: the model holds {room + 5}; "):
        generate(model, [prompt], VOCABULARY, Sampling(max_new_tokens=6))


def test_a_temperature_that_is_no_number_is_refused():
    from model.generate import Sampling

    with pytest.raises(ValueError, match="temperature nan"):
        Sampling(temperature=float("nan"))
