"""The whole model: closed gates are the plain language model, the cache is exact."""

import pytest
import torch

from infimm_data.errors import ConfigError
from tests.model.conftest import pictures, rows, tiny_model

WITH_IMAGES = ([5, 40, 7, 8, 9, 40, 11, 12], [-1, 0, 0, 0, 0, 1, 1, 1])
TEXT_ONLY = ([5, 20, 21, 22, 23], [-1] * 5)
OTHER = ([5, 40, 30, 31, 32, 33], [-1, 2, 2, 2, 2, 2])


def logits_of(model, fields, images):
    with torch.no_grad():
        return model(**fields, images=images).logits


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_a_document_has_the_same_logits_alone_and_in_a_packed_row(model):
    images = pictures(3)
    packed = logits_of(model, rows([WITH_IMAGES, TEXT_ONLY, OTHER]), images)[0]
    alone = logits_of(model, rows([OTHER]), images)[0]
    torch.testing.assert_close(packed[13:19], alone[:6], atol=1e-5, rtol=1e-5)


def test_closed_gates_are_the_plain_language_model():
    closed = tiny_model(gate=0.0)
    fields = rows([WITH_IMAGES], length=8)
    plain = closed.language(input_ids=fields["input_ids"]).logits
    torch.testing.assert_close(logits_of(closed, fields, pictures(2)), plain.detach(), atol=1e-6, rtol=1e-5)


def test_a_text_only_document_is_the_plain_language_model(model):
    fields = rows([WITH_IMAGES, TEXT_ONLY])
    plain = model.language(input_ids=torch.tensor([TEXT_ONLY[0]])).logits[0].detach()
    torch.testing.assert_close(logits_of(model, fields, pictures(2))[0, 8:13], plain, atol=1e-5, rtol=1e-5)


def test_a_batch_without_any_image_works_and_trains(model):
    fields = rows([TEXT_ONLY, TEXT_ONLY])
    out = model(**fields, images=pictures(0), labels=fields["input_ids"])
    assert torch.isfinite(out.loss)


def test_an_image_changes_what_follows_it_and_nothing_before(model):
    fields, images = rows([WITH_IMAGES], length=8), pictures(2)
    darker = images.clone()
    darker[1] //= 2
    moved = (logits_of(model, fields, images) != logits_of(model, fields, darker)).any(-1)[0]
    assert moved.tolist() == [False] * 5 + [True] * 3


def test_a_block_stands_before_every_nth_layer():
    assert list(tiny_model().cross_attention) == ["1", "3"]
    assert list(tiny_model(blocks={"every": 4}).cross_attention) == ["3"]
    assert list(tiny_model(blocks={"every": 1}).cross_attention) == ["0", "1", "2", "3"]


def test_the_loss_is_the_mean_over_targets_shifted_by_one(model):
    fields, images = rows([WITH_IMAGES], length=8), pictures(2)
    labels = torch.tensor([[-100, -100, 7, -100, 9, -100, 11, 12]])
    out = model(**fields, images=images, labels=labels)
    scores = out.logits[0].log_softmax(-1)
    expected = -(scores[1, 7] + scores[3, 9] + scores[5, 11] + scores[6, 12]) / 4
    torch.testing.assert_close(out.loss, expected)
    assert out.num_targets == 4


def test_a_sliding_window_hides_what_is_too_far():
    narrow = tiny_model(sliding_window=2, gate=0.0)
    fields = rows([TEXT_ONLY], length=5)
    changed = {**fields, "input_ids": fields["input_ids"].clone()}
    changed["input_ids"][0, 0] = 17
    moved = (logits_of(narrow, fields, pictures(0)) != logits_of(narrow, changed, pictures(0))).any(-1)[0]
    assert moved.tolist() == [True] * 5  # four layers reach eight tokens back
    one_layer = tiny_model(sliding_window=2, gate=0.0, num_hidden_layers=1, blocks={"every": 1})
    moved = (logits_of(one_layer, fields, pictures(0)) != logits_of(one_layer, changed, pictures(0))).any(-1)[0]
    assert moved.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3", "gpt_neox"])
def test_every_listed_language_model_run_layer_by_layer_is_its_own_forward(model_type):
    from model.language import STACKS

    assert set(STACKS) == {"llama", "mistral", "qwen2", "qwen3", "gpt_neox"}
    closed = tiny_model(gate=0.0, model_type=model_type)
    fields = rows([WITH_IMAGES], length=8)
    plain = closed.language(input_ids=fields["input_ids"]).logits.detach()
    torch.testing.assert_close(logits_of(closed, fields, pictures(2)), plain, atol=1e-5, rtol=1e-5)


def test_an_architecture_that_is_not_listed_is_refused():
    with pytest.raises(ConfigError, match="type 'gemma': expected one of mistral, llama"):
        tiny_model(model_type="gemma", head_dim=8)


def test_key_value_heads_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="4 attention heads share 8 key-value heads; set num_key_value_heads"):
        tiny_model(num_key_value_heads=8)


def test_layers_that_differ_in_their_window_are_refused():
    with pytest.raises(ConfigError, match="layers of full_attention and sliding_attention"):
        tiny_model(model_type="qwen2", use_sliding_window=True, max_window_layers=2)


def test_without_a_resampler_the_vision_tokens_are_the_latents():
    from model.infimm import InfiMM

    small = tiny_model()
    plain = InfiMM(small.vision, None, small.language, small.settings, media_width=24).eval()
    key, value = plain.media(pictures(2)).keys[1]
    assert key.shape == value.shape == (2, 4, 2, 8)  # 4 patches each
    with pytest.raises(ConfigError, match="'perceiver', but the model has none"):
        plain.set_trainable(("perceiver",))


def test_features_computed_before_give_the_same_as_pixels(model):
    images = pictures(2)
    now, cached = model.media(images), model.media_of_features(model.vision(images))
    assert all(torch.equal(a, b) for i in now.keys for a, b in zip(now.keys[i], cached.keys[i], strict=True))


def test_what_trains_is_chosen_by_part(model):
    trained = {}
    for parts in [("perceiver",), ("cross_attention",), ("embeddings",), ("language",)]:
        model.set_trainable(parts)
        trained[parts[0]] = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        "perceiver": {"perceiver"}, "cross_attention": {"cross_attention"},
        "embeddings": {"language"}, "language": {"language"},
    }  # fmt: skip
    model.set_trainable(("embeddings",))
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["language.model.embed_tokens.weight"]
    model.requires_grad_(True)
    model.vision.requires_grad_(False)
