"""The published architecture and layout: same numbers as the reference in fp32, every weight's name accounted for."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infimm_data.errors import ConfigError
from infimm_data.stream.tokens import Vocabulary
from model.generate import Sampling, generate
from model.infimm import InfiMM
from model.published_inputs import published_inputs, published_prompts
from model.published_names import published_name

REFERENCE = Path(__file__).resolve().parents[2] / "../shared/data/infimm_reference"
TOLERANCE = 1e-4
IMAGE = 121

ZEPHYR = {  # INFIMM.md 1.1, 1.2, 1.6
    "cross_attn_every_n_layers": 2,
    "tokenizer_type": "ZephyrTokenizer",
    "visual": {
        "image_size": 336, "layers": 24, "width": 1024, "head_width": 64, "patch_size": 14, "mlp_ratio": 2.6667,
        "rope": True, "pt_hw_seq_len": 16, "intp_freq": True, "naiveswiglu": True, "subln": True, "embed_dim": 768,
    },
    "language": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
        "num_hidden_layers": 32, "vocab_size": 32002, "sliding_window": 4096, "max_position_embeddings": 32768,
    },
}  # fmt: skip
EVA_E = {
    "image_size": 224, "layers": 64, "width": 1792, "head_width": 112, "patch_size": 14, "mlp_ratio": 15360 / 1792,
    "postnorm": True, "embed_dim": 1024,
}  # fmt: skip
LLAMA_13B = {
    "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 40,
    "vocab_size": 32002, "pad_token_id": 0,
}  # fmt: skip
TINY_TOWER = {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14, "mlp_ratio": 2.0}
TINY_LANGUAGE = {
    "hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 50,
}  # fmt: skip
TINY = {
    "cross_attn_every_n_layers": 3, "layout": "infimm", "image_token_id": 49,
    "visual": TINY_TOWER | {"embed_dim": 8, "rope": True, "pt_hw_seq_len": 3, "intp_freq": True, "naiveswiglu": True,
                            "subln": True, "mlp_ratio": 2.6667},
    "language": TINY_LANGUAGE,
    "perceiver": {"layers": 2, "latents": 5, "heads": 2, "head_width": 64, "ff_multiple": 3},
    "cross_attention": {"heads": 3, "head_width": 64, "ff_multiple": 2},
}  # fmt: skip
TINY_HD = {
    "cross_attn_every_n_layers": 1, "layout": "hd",
    "visual": TINY_TOWER | {"postnorm": True, "embed_dim": 8}, "language": TINY_LANGUAGE,
}  # fmt: skip


def random_model(about: dict) -> InfiMM:
    torch.manual_seed(0)
    model = InfiMM.from_config(about).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


def write(folder: Path, about: dict, weights: dict[str, torch.Tensor]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(about))
    save_file(weights, folder / "model.safetensors")
    return str(folder)


def published_weights(model: InfiMM) -> dict[str, torch.Tensor]:
    has_swiglu = "naiveswiglu" in model.about["visual"]
    named = {published_name(n, root="model", has_swiglu=has_swiglu): t for n, t in model.state_dict().items()}
    return {name: tensor.clone() for name, tensor in named.items()}


def assert_equal(one: InfiMM, other: InfiMM) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def logits(model: InfiMM) -> torch.Tensor:
    side = model.vision.image_side
    images = torch.randint(0, 256, (1, 1, 1, 3, side, side), generator=torch.Generator().manual_seed(3)).byte()
    with torch.no_grad():
        return model(**published_inputs(images, torch.tensor([[5, 49, 7, 8]]), image_token_id=49)).logits


# The reference


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    if not REFERENCE.is_dir():
        pytest.skip("the reference model is not beside this checkout (../shared/data/infimm_reference)")
    return load_file(REFERENCE / "io.safetensors")


@pytest.fixture(scope="module")
def model(expected) -> InfiMM:
    return InfiMM.from_pretrained(str(REFERENCE))


def inputs(expected):
    given = (expected["images"], expected["input_ids"])
    masks = {"attention_mask": expected["attention_mask"], "labels": expected["labels"]}
    return published_inputs(*given, image_token_id=IMAGE, **masks)


def test_vision_features_are_those_of_the_reference(model, expected):
    features = model.vision(expected["images"].flatten(0, 2))
    torch.testing.assert_close(features, expected["vision_features"], atol=TOLERANCE, rtol=0)


def test_resampled_latents_are_those_of_the_reference(model, expected):
    latents = model.perceiver(expected["vision_features"])
    torch.testing.assert_close(latents, expected["resampled"].flatten(0, 1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["auto", "dense", "sdpa"])
def test_logits_and_loss_are_those_of_the_reference(model, expected, backend, monkeypatch):
    monkeypatch.setattr(model, "backend", backend)
    with torch.no_grad():
        out = model(**inputs(expected))
    attended = expected["attention_mask"].bool()
    torch.testing.assert_close(out.logits[attended], expected["logits"][attended], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(out.loss, expected["loss"][0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["auto", "dense", "sdpa"])
def test_gradients_are_those_of_the_reference(model, expected, backend, monkeypatch):
    monkeypatch.setattr(model, "backend", backend)
    model.zero_grad(set_to_none=True)
    model(**inputs(expected)).loss.backward()
    ours = {published_name(name, root="model", has_swiglu=True): p for name, p in model.named_parameters()}
    names = [name for name in expected if name.startswith("grad.")]
    assert len(names) == 24
    for name in names:
        gradient = ours[name.removeprefix("grad.")].grad
        torch.testing.assert_close(gradient, expected[name], atol=TOLERANCE, rtol=0, msg=name)


@pytest.mark.parametrize("padding", [0, 3])
def test_greedy_tokens_are_those_of_the_reference(model, expected, padding):
    length = int(expected["greedy_prompt_len"])
    ids = torch.nn.functional.pad(expected["input_ids"][:1, :length], (padding, 0), value=2)
    attended = torch.arange(length + padding)[None] >= padding
    prompts = published_prompts(expected["images"][:1], ids, image_token_id=IMAGE, attention_mask=attended.int())
    # ends only at an id that the reference may not choose either; the reference stops on 2
    words = {"bos": 1, "eos": 2, "end_of_chunk": 2, "image": IMAGE, "pad": 2, "fingerprint": ""}
    vocabulary = Vocabulary(encode=lambda text: ([], []), **words)
    new = generate(model, prompts, vocabulary, Sampling(max_new_tokens=8))
    assert new == expected["greedy_new_ids"].tolist()


def test_the_reference_written_and_read_again_is_the_same(model, expected, tmp_path):
    model.save_pretrained(str(tmp_path))
    assert_equal(model, InfiMM.from_pretrained(str(tmp_path)))
    stored = load_file(tmp_path / "model.safetensors")
    published = load_file(REFERENCE / "weights.safetensors")
    second = ("old_decoder_blocks", "gated_cross_attn_layers", ".rope.")
    assert stored.keys() == {name for name in published if not any(word in name for word in second)}
    assert json.loads((tmp_path / "config.json").read_text())["eoc_token_id"] == 120


# Sizes


def test_the_full_zephyr_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = InfiMM.from_config(ZEPHYR)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert parts == {
        "vision": 304_432_832, "perceiver": 63_019_008, "language": 7_241_748_480, "cross_attention": 2_231_631_904
    }  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == 9_840_832_224  # INFIMM.md 1.0
    names = {published_name(n, root="model", has_swiglu=True): tuple(t.shape) for n, t in model.state_dict().items()}
    assert len(names) == 1_098 - 2 - 2 * 24  # INFIMM.md 1.5, without the rotary constants
    layer = "model.lang_encoder.model.layers.31."
    assert names[layer + "gated_cross_attn_layer.attn.to_kv.weight"] == (1024, 1024)
    assert names["model.vision_encoder.blocks.23.mlp.w3.weight"] == (1024, 2730)


def test_the_13b_and_hd_layouts_have_the_published_sizes():
    with torch.device("meta"):
        vicuna = InfiMM.from_config({"cross_attn_every_n_layers": 4, "visual": EVA_E, "language": LLAMA_13B})
        hd = InfiMM.from_config({**ZEPHYR, "visual": EVA_E, "cross_attn_every_n_layers": 4, "layout": "hd"})
    assert list(vicuna.cross_attention) == [str(i) for i in range(3, 40, 4)]
    assert vicuna.language.config.model_type == "llama"
    assert sum(p.numel() for p in vicuna.vision.parameters()) == 4_350_556_928  # INFIMM.md 1.0
    assert hd.perceiver is None
    block = hd.cross_attention["3"]
    sizes = {name: tuple(p.shape) for name, p in block.named_parameters()}
    assert sizes == {  # INFIMM.md 1.5, last line
        "attn_gate": (4096,), "ff_gate": (4096,), "attn.norm.weight": (4096,), "attn.norm.bias": (4096,),
        "attn.to_q.weight": (768, 4096), "attn.to_kv.weight": (1536, 1792), "attn.to_out.weight": (4096, 768),
        "ff.0.weight": (4096,), "ff.0.bias": (4096,), "ff.1.weight": (4096, 4096), "ff.3.weight": (4096, 4096),
    }  # fmt: skip
    assert {"model.vision_encoder.blocks.63.attn.qkv.weight", "model.vision_encoder.blocks.63.attn.q_bias",
            "model.vision_encoder.blocks.63.mlp.fc1.weight"} <= {
        published_name(name, root="model", has_swiglu=False) for name in hd.state_dict()
    }  # fmt: skip


def test_sizes_that_the_config_does_not_give_are_read_from_the_weights(tmp_path):
    model = random_model(TINY)
    bare = {key: value for key, value in TINY.items() if key not in ("perceiver", "cross_attention", "layout")}
    loaded = InfiMM.from_pretrained(write(tmp_path, bare, published_weights(model)))
    assert loaded.perceiver.sizes == TINY["perceiver"]
    assert (loaded.settings.heads, loaded.settings.ff_multiple) == (3, 2)
    assert torch.equal(logits(loaded), logits(model))


def test_the_hd_layout_is_read_with_and_without_its_switch(tmp_path):
    model = random_model(TINY_HD)
    weights = published_weights(model)
    assert weights["model.lang_encoder.model.layers.0.gated_cross_attn_layer.attn_gate"].shape == (24,)
    bare = {key: value for key, value in TINY_HD.items() if key != "layout"}
    for about in (TINY_HD, bare):
        loaded = InfiMM.from_pretrained(write(tmp_path, about, weights))
        assert loaded.perceiver is None
        assert torch.equal(logits(loaded), logits(model))


def test_the_language_models_own_settings_reach_it(tmp_path):
    """Two models that differ in the base of their rotary positions alone do not agree."""
    model = random_model(TINY)
    weights = published_weights(model)
    other = {**TINY, "language": {**TINY_LANGUAGE, "rope_theta": 5.0}}
    loaded = InfiMM.from_pretrained(write(tmp_path, other, weights))
    assert not torch.allclose(logits(loaded), logits(model))


# Files


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_several_files_with_an_index_are_read(tmp_path, kind):
    model = random_model(TINY)
    names = list(weights := published_weights(model))
    parts = {f"part-{i}.{kind}": {name: weights[name] for name in names[i::2]} for i in range(2)}
    for file, part in parts.items():
        save_file(part, tmp_path / file) if kind == "safetensors" else torch.save(part, tmp_path / file)
    places = {name: file for file, part in parts.items() for name in part}
    usual = "model.safetensors" if kind == "safetensors" else "pytorch_model.bin"
    (tmp_path / f"{usual}.index.json").write_text(json.dumps({"weight_map": places}))
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    assert_equal(InfiMM.from_pretrained(str(tmp_path)), model)
    (tmp_path / f"part-1.{kind}").unlink()
    with pytest.raises(ConfigError, match=rf"names the file 'part-1\.{kind}', which is not beside it"):
        InfiMM.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("is_new", [True, False])
def test_a_pytorch_file_is_read_in_the_new_and_the_old_format(tmp_path, is_new):
    model = random_model(TINY)
    torch.save(published_weights(model), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=is_new)
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    assert_equal(InfiMM.from_pretrained(str(tmp_path)), model)


def test_a_pytorch_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"model.x": Evil()}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with pytest.raises(ConfigError, match="not a weight file that can be read safely"):
        InfiMM.from_pretrained(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_an_index_that_points_outside_its_folder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    outside = {"weight_map": {"model.x": "../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(outside))
    with pytest.raises(ConfigError, match="which is not beside it"):
        InfiMM.from_pretrained(str(tmp_path))


def test_a_model_is_written_in_shards_and_read_again_in_another_type(tmp_path):
    model = random_model(TINY)
    model.save_pretrained(str(tmp_path), max_shard_bytes=40_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    assert_equal(InfiMM.from_pretrained(str(tmp_path)), model)
    half = InfiMM.from_pretrained(str(tmp_path), dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(half).float(), logits(model), atol=0.3, rtol=0.1)
    model.save_pretrained(str(tmp_path))  # over it, in one file
    assert_equal(InfiMM.from_pretrained(str(tmp_path)), model)


def test_weights_of_half_precision_keep_it(tmp_path):
    weights = {name: tensor.bfloat16() for name, tensor in published_weights(random_model(TINY)).items()}
    loaded = InfiMM.from_pretrained(write(tmp_path, TINY, weights))
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert torch.isfinite(logits(loaded)).all()


# Names


@pytest.fixture(scope="module")
def tiny_weights():
    return published_weights(random_model(TINY))


LAYER = "model.lang_encoder.model.layers.2."


def test_missing_extra_and_misshaped_weights_are_counted_and_named(tiny_weights, tmp_path):
    weights = dict(tiny_weights)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        del weights[f"{LAYER}decoder_layer.self_attn.{name}.weight"]
    weights |= {"model.perceiver.extra": torch.zeros(1), "other.name": torch.zeros(1)}
    weights["model.perceiver.norm.weight"] = torch.zeros(31)
    with pytest.raises(ConfigError) as error:
        InfiMM.from_pretrained(write(tmp_path, TINY, weights))
    problem = str(error.value)
    assert f"4 missing: '{LAYER}decoder_layer.self_attn.k_proj.weight', " in problem
    assert "v_proj" not in problem  # the first three are named
    assert "2 extra: 'model.perceiver.extra', 'other.name'" in problem
    assert "1 of another shape: 'model.perceiver.norm.weight' [31] instead of [32]" in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "name",
    [
        "model.perceiver.layers.1.0.to_q.weight",
        "model.vision_encoder.pos_embed",
        "model.vision_encoder.patch_embed.proj.weight",
        LAYER + "gated_cross_attn_layer.attn.to_q.weight",
        LAYER + "gated_cross_attn_layer.ff.1.weight",
        "model.lang_encoder.lm_head.weight",
    ],
)
def test_each_weight_is_checked_for_itself(tiny_weights, tmp_path, name):
    for problem, tensor in (("1 missing", None), ("1 of another shape", torch.zeros(3, 3, 2))):
        weights = {**tiny_weights, name: tensor}
        if tensor is None:
            del weights[name]
        with pytest.raises(ConfigError, match=rf"{problem}: '{name}'"):
            InfiMM.from_pretrained(write(tmp_path, TINY, weights))


def test_second_names_are_accepted_alone_or_beside_the_first_and_must_agree(tiny_weights, tmp_path):
    first, second = f"{LAYER}decoder_layer.input_layernorm.weight", "old_decoder_blocks.2.input_layernorm.weight"
    second = f"model.lang_encoder.{second}"
    both = {**tiny_weights, second: tiny_weights[first].clone()}
    InfiMM.from_pretrained(write(tmp_path, TINY, both))
    InfiMM.from_pretrained(write(tmp_path, TINY, {name: t for name, t in both.items() if name != first}))
    both[second] += 1
    with pytest.raises(ConfigError, match="differs from the same weight under its other name"):
        InfiMM.from_pretrained(write(tmp_path, TINY, both))


def test_tied_embeddings_may_be_stored_twice_but_must_agree(tiny_weights, tmp_path):
    tied = {**TINY, "language": {**TINY_LANGUAGE, "tie_word_embeddings": True}}
    head, embeddings = "model.lang_encoder.lm_head.weight", "model.lang_encoder.model.embed_tokens.weight"
    once = {name: tensor for name, tensor in tiny_weights.items() if name != head}
    for weights in (once, {**once, head: once[embeddings].clone()}):
        loaded = InfiMM.from_pretrained(write(tmp_path, tied, weights))
        assert loaded.language.lm_head.weight is loaded.language.model.embed_tokens.weight
    with pytest.raises(ConfigError, match="differs from the embeddings"):
        InfiMM.from_pretrained(write(tmp_path, tied, tiny_weights))


@pytest.mark.parametrize(
    "language",
    [
        {"model_type": "gpt_neox"},
        {"model_type": "qwen2", "num_key_value_heads": 4},
        {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 8, "rope_theta": 5e5},
    ],
    ids=lambda language: language["model_type"],
)
def test_any_listed_language_model_is_written_and_read(tmp_path, language):
    model = random_model({**TINY, "language": {**TINY_LANGUAGE, **language}})
    model.save_pretrained(str(tmp_path))
    loaded = InfiMM.from_pretrained(str(tmp_path))
    assert_equal(loaded, model)
    assert loaded.sliding_window == model.sliding_window
    assert torch.equal(logits(loaded), logits(model))


def test_a_semantics_is_written_and_read(tmp_path):
    model = random_model({**TINY, "cross_attention": {**TINY["cross_attention"], "semantics": "idefics"}})
    model.save_pretrained(str(tmp_path))
    assert InfiMM.from_pretrained(str(tmp_path)).settings.semantics == "idefics"


def test_stored_rotary_constants_are_checked_against_the_config(tiny_weights, tmp_path):
    model = random_model(TINY)
    sin, cos = model.vision.encoder.trunk.rope.get_embed().chunk(2, -1)
    buffers = {
        "model.vision_encoder.rope.freqs_cos": cos.clone(),
        "model.vision_encoder.blocks.0.attn.rope.freqs_sin": sin.bfloat16(),
        "model.lang_encoder.model.layers.0.decoder_layer.self_attn.rotary_emb.inv_freq":
            model.language.model.rotary_emb.inv_freq.clone(),
    }  # fmt: skip
    InfiMM.from_pretrained(write(tmp_path, TINY, {**tiny_weights, **buffers}))
    for name, tensor in buffers.items():
        with pytest.raises(ConfigError, match=r"differs from what config\.json gives; check its rotary settings"):
            InfiMM.from_pretrained(write(tmp_path, TINY, {**tiny_weights, name: tensor + 0.5}))


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ({"language": {}, "visual": {}}, "no 'cross_attn_every_n_layers'"),
        ({**TINY, "visual": {"width": 32}}, "visual has no 'image_size'"),
        ({**TINY, "visual": 3}, "'visual' is int, expected an object"),
        ({**TINY, "visual": {**TINY_TOWER, "head_width": 15}}, "visual is 32 wide, which heads of 15 do not fill"),
        ({**TINY, "visual": {**TINY_TOWER, "patch_size": 0}}, r"visual: no such tower \("),
        ({**TINY, "language": {"hidden_size": 24}}, "language has no 'vocab_size'"),
        ({**TINY, "layout": "hdd"}, "layout 'hdd', expected 'infimm' or 'hd'"),
        ({**TINY, "perceiver": {"depth": 2}}, "config.json: depth: Extra inputs"),
        ({**TINY, "cross_attn_every_n_layers": 0}, "config.json: every: "),
    ],
)
def test_a_config_that_lacks_something_says_what(about, problem):
    with torch.device("meta"), pytest.raises(ConfigError, match=problem):
        InfiMM.from_config(about)


def test_a_folder_without_weights_or_config_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        InfiMM.from_pretrained(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="not a JSON file"):
        InfiMM.from_pretrained(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with pytest.raises(ConfigError, match="no weights; expected"):
        InfiMM.from_pretrained(str(tmp_path))


# The published calling convention


def test_rows_may_be_padded_on_either_side_and_images_without_a_token_cost_nothing():
    ids = torch.tensor([[2, 5, 49, 7], [5, 49, 49, 2], [5, 6, 7, 8]])
    attended = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])
    images = torch.arange(6.0).view(3, 2, 1, 1, 1, 1)
    given = published_inputs(images, ids, image_token_id=49, attention_mask=attended)
    assert given["images"].flatten().tolist() == [0, 2, 3]
    assert given["image_index"].tolist() == [[-1, -1, 0, 0], [-1, 1, 2, -1], [-1] * 4]
    assert given["document_ids"].tolist() == [[-1, 0, 0, 0], [0, 0, 0, -1], [0] * 4]
    assert given["position_ids"].tolist() == [[0, 0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 3]]
    prompts = published_prompts(images, ids, image_token_id=49, attention_mask=attended)
    assert [prompt.ids for prompt in prompts] == [(5, 49, 7), (5, 49, 49), (5, 6, 7, 8)]
    assert [[int(image) for image in prompt.images] for prompt in prompts] == [[0], [2, 3], []]


def test_more_image_tokens_than_images_and_several_frames_are_errors():
    with pytest.raises(ValueError, match="row 0: 2 <image> tokens, but 1 images"):
        published_inputs(torch.zeros(1, 1, 1, 3, 2, 2), torch.tensor([[49, 49]]), image_token_id=49)
    with pytest.raises(ValueError, match="2 frames per image, expected 1"):
        published_inputs(torch.zeros(1, 1, 2, 3, 2, 2), torch.tensor([[49]]), image_token_id=49)
