"""Checkpoints: whole or not there, whatever happens while one is written; and what they leave out is checked."""

import json
import shutil
import time

import pytest
import torch

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError, InfiMMError
from model.checkpoint import checkpoints, load_model
from model.config import TrainConfig
from model.train import train
from tests.model.rank import start
from tests.model.shades import losses, settings


def test_nothing_in_a_checkpoint_is_a_pickle(data, recipe, tmp_path):
    train(recipe(steps=1), data=data, out=str(tmp_path))
    (place,) = checkpoints(str(tmp_path))
    found = {file.suffix for file in place.rglob("*") if file.is_file()}
    assert found <= {".json", ".safetensors", ".jinja"}
    about = json.loads((place / "config.json").read_text())
    assert about["stream"].keys() >= {"window", "row", "sources"}


def test_a_save_that_fails_says_so_and_leaves_the_checkpoint_before_it(data, recipe, tmp_path, monkeypatch):
    from model import checkpoint_writer

    def full(folder):
        if "00000004" in str(folder):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "_sync", full)
    with pytest.raises(InfiMMError, match=r"checkpoint of step 4 could not be written .*No space left.*the one before"):
        train(recipe(), data=data, out=str(tmp_path))
    assert [place.name for place in checkpoints(str(tmp_path))] == ["step-00000002"]
    assert load_model(str(tmp_path)).step == 2
    monkeypatch.undo()
    train(recipe(), data=data, out=str(tmp_path))
    assert [place.name for place in (tmp_path / "checkpoints").iterdir() if place.name.startswith(".")] == []


def test_tensors_are_copied_before_training_goes_on(data, recipe, tmp_path, monkeypatch):
    from model import checkpoint_writer

    finish = checkpoint_writer.CheckpointWriter._finish

    def slow(self, written, *rest):
        time.sleep(0.2)  # the next steps change the weights meanwhile
        finish(self, written, *rest)

    train(recipe(steps=4), data=data, out=str(tmp_path / "quick"))
    monkeypatch.setattr(checkpoint_writer.CheckpointWriter, "_finish", slow)
    train(recipe(steps=4), data=data, out=str(tmp_path / "slow"))
    quick, slowly = (load_model(str(checkpoints(str(tmp_path / name))[0])).model for name in ("quick", "slow"))
    assert all(torch.equal(a, b) for a, b in zip(quick.parameters(), slowly.parameters(), strict=True))


def test_after_kill_9_the_run_goes_on_to_the_same_losses(data, clip_folder, tmp_path):
    endless = settings(clip_folder, steps=10_000, checkpoint_every=1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start([{"config": endless, "data": data, "out": str(killed)}])
    while len(checkpoints(str(killed))) < 2 and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    reached = len(losses(killed))
    assert reached >= 2
    recipe = parse_settings(endless | {"steps": reached + 2, "checkpoint_every": None}, TrainConfig, where="test")
    train(recipe, data=data, out=str(killed))
    train(recipe, data=data, out=str(whole))
    assert losses(killed) == losses(whole)
    assert len(losses(whole)) == reached + 2


def test_a_cut_off_file_is_one_clear_line(data, recipe, tmp_path):
    train(recipe(steps=2), data=data, out=str(tmp_path))
    (weights,) = (checkpoints(str(tmp_path))[0] / "tensors").glob("*-00001-of-*")
    weights.write_bytes(weights.read_bytes()[:-100])
    for call in (lambda: load_model(str(tmp_path)), lambda: train(recipe(steps=4), data=data, out=str(tmp_path))):
        with pytest.raises(ConfigError, match="tensors: cannot be read") as error:
            call()
        assert "\n" not in str(error.value)


def test_a_weight_that_is_missing_extra_or_of_another_shape_is_named(data, recipe, tmp_path):
    from safetensors.torch import load_file, save_file

    train(recipe(steps=2), data=data, out=str(tmp_path))
    (file,) = (checkpoints(str(tmp_path))[0] / "tensors").glob("*-00001-of-*")
    kept = load_file(file)
    latents = kept["model.perceiver.latents"]
    for changed, problem in (
        ({name: tensor for name, tensor in kept.items() if "latents" not in name}, "perceiver.latents is missing"),
        (
            kept | {"model.perceiver.latents": latents[:1].clone()},
            r"perceiver.latents is \[1, 16\], expected \[2, 16\]",
        ),
        (kept | {"model.perceiver.more": latents.clone()}, "perceiver.more is not a weight"),
    ):
        save_file(changed, file)
        with pytest.raises(ConfigError, match=f"does not fit the recipe: {problem}"):
            load_model(str(tmp_path))


@pytest.fixture(scope="module")
def language(tmp_path_factory) -> str:
    """A random language model in a folder, in bf16, as transformers loads one."""
    from model.config import LanguageSettings
    from model.language import load_language
    from model.tokenizer import load_tokenizer
    from tests.model.conftest import TOKENIZER

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    given = {"model_type": "llama", "pad_token_id": None, "num_key_value_heads": 2, **sizes}
    torch.manual_seed(3)
    folder = str(tmp_path_factory.mktemp("language"))
    lm = load_language(LanguageSettings(config=given), vocabulary=load_tokenizer(TOKENIZER).size)
    lm.to(torch.bfloat16).save_pretrained(folder)
    return folder


def on(recipe, language, **changed):
    config = recipe(train=["perceiver", "cross_attention", "embeddings"], steps=4).model_dump(mode="json")
    config["model"]["language"] = {"pretrained": language, "config": None}
    return parse_settings(config | changed, TrainConfig, where="test")


def test_a_frozen_pretrained_language_model_is_left_out_and_found_again(data, recipe, tmp_path, language):
    config = on(recipe, language)
    train(config, data=data, out=str(tmp_path / "whole"))
    (weights, *_) = (checkpoints(str(tmp_path / "whole"))[-1] / "tensors").glob("*-00001-of-*")
    from safetensors import safe_open

    with safe_open(weights, "pt") as file:
        names = set(file.keys())
    assert "model.language.model.embed_tokens.weight" in names
    assert not any("language.model.layers" in name for name in names)
    loaded = load_model(str(tmp_path / "whole")).model
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    shutil.rmtree(checkpoints(str(cut))[-1])
    train(config, data=data, out=str(cut))
    assert losses(cut) == losses(tmp_path / "whole")


def test_another_language_model_is_refused(data, recipe, tmp_path, language):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "language"
    shutil.copytree(language, copy)
    config = on(recipe, str(copy), steps=2)
    train(config, data=data, out=str(tmp_path / "run"))
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= 1.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    for call in (
        lambda: load_model(str(tmp_path / "run")),
        lambda: train(on(recipe, str(copy)), data=data, out=str(tmp_path / "run")),
    ):
        with pytest.raises(ConfigError, match="trained on a language model with weights"):
            call()


def test_in_bf16_what_is_frozen_is_kept_in_bf16_and_what_trains_in_fp32(data, recipe, tmp_path, language):
    from model.parallel import World
    from model.training_run import begin

    config = on(recipe, language, precision="bf16")
    run = begin(config, World(torch.device("cpu")), data=data, start=None)
    run.stream.close()
    types = {name: p.dtype for name, p in run.model.named_parameters()}
    assert {types[name] for name in types if name.startswith(("vision.", "language.model.layers."))} == {torch.bfloat16}
    assert {p.dtype for p in run.model.parameters() if p.requires_grad} == {torch.float32}
    assert types["language.lm_head.weight"] == torch.float32
    train(config, data=data, out=str(tmp_path / "bf16"))
    train(on(recipe, language), data=data, out=str(tmp_path / "fp32"))
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "fp32"), rel=0.02)
    assert load_model(str(tmp_path / "bf16")).step == 4
