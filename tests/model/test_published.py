"""The published architecture: same numbers as the reference in fp32."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infimm_data.errors import ConfigError
from model.infimm import InfiMM
from model.published_names import published_name

REFERENCE = Path(__file__).resolve().parents[2] / "../shared/data/infimm_reference"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    if not REFERENCE.is_dir():
        pytest.skip("the reference model is not beside this checkout (../shared/data/infimm_reference)")
    return load_file(REFERENCE / "io.safetensors")


@pytest.fixture(scope="module")
def model(expected) -> InfiMM:
    return InfiMM.from_pretrained(str(REFERENCE))


def fields(expected):
    """The reference's padded rows as fields of a batch: one document per row, -1 on padding."""
    ids, attended = expected["input_ids"], expected["attention_mask"].bool()
    count = (ids == 121).cumsum(1)
    index = torch.where(count > 0, count - 1 + torch.arange(len(ids))[:, None] * 2, -1)
    return {
        "input_ids": ids,
        "document_ids": torch.where(attended, 0, -1),
        "position_ids": torch.arange(ids.shape[1]).expand_as(ids),
        "image_index": torch.where(attended, index, -1),
        "images": expected["images"].flatten(0, 2),
    }


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
        out = model(**fields(expected), labels=expected["labels"])
    attended = expected["attention_mask"].bool()
    torch.testing.assert_close(out.logits[attended], expected["logits"][attended], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(out.loss, expected["loss"][0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["auto", "dense", "sdpa"])
def test_gradients_are_those_of_the_reference(model, expected, backend, monkeypatch):
    monkeypatch.setattr(model, "backend", backend)
    model.zero_grad(set_to_none=True)
    model(**fields(expected), labels=expected["labels"]).loss.backward()
    ours = {published_name(name, root="model", has_swiglu=True): p for name, p in model.named_parameters()}
    names = [name for name in expected if name.startswith("grad.")]
    assert len(names) == 24
    for name in names:
        gradient = ours[name.removeprefix("grad.")].grad
        torch.testing.assert_close(gradient, expected[name], atol=TOLERANCE, rtol=0, msg=name)


def test_a_weight_that_is_missing_is_named(expected, tmp_path):
    weights = load_file(REFERENCE / "weights.safetensors")
    del weights["model.perceiver.norm.weight"]
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text((REFERENCE / "config.json").read_text())
    with pytest.raises(ConfigError, match=r"1 missing: 'model\.perceiver\.norm\.weight'"):
        InfiMM.from_pretrained(str(tmp_path))


def test_two_names_of_a_weight_that_differ_are_an_error(expected, tmp_path):
    weights = load_file(REFERENCE / "weights.safetensors")
    weights["model.lang_encoder.old_decoder_blocks.0.input_layernorm.weight"] += 1
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text((REFERENCE / "config.json").read_text())
    with pytest.raises(ConfigError, match="differs from the same weight under its other name"):
        InfiMM.from_pretrained(str(tmp_path))


def test_greedy_tokens_are_those_of_the_reference(model, expected):
    from infimm_data.stream.tokens import Vocabulary
    from model.generate import Prompt, Sampling, generate

    # ends only at an id that the reference may not choose either; the reference stops on 2
    vocabulary = Vocabulary(
        encode=lambda text: ([], []), bos=1, eos=2, end_of_chunk=2, image=121, pad=2, fingerprint=""
    )
    length = int(expected["greedy_prompt_len"])
    ids = expected["input_ids"][0, :length]
    images = expected["images"][0, : int((ids == 121).sum()), 0]
    new = generate(model, [Prompt(tuple(ids.tolist()), tuple(images))], vocabulary, Sampling(max_new_tokens=8))
    assert new == expected["greedy_new_ids"].tolist()
