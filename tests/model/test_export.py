"""A training run in the published layout: read again it is the same model, and either folder speaks."""

import json
from pathlib import Path

import pytest
import torch

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.checkpoint import load_model
from model.config import TrainConfig
from model.export import export, is_published, load_speaker
from model.infimm import InfiMM, build_model
from model.tokenizer import load_tokenizer
from pipelines import cli
from pipelines.report import printable
from tests.model.conftest import SIDE, TOKENIZER, pictures
from tests.model.saved import save_weights


@pytest.fixture(scope="module")
def run(clip_folder, tmp_path_factory) -> str:
    """A run's folder with one checkpoint, of random weights."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    recipe = {
        "model": {
            "tokenizer": TOKENIZER,
            "vision": {"name": f"local-dir:{clip_folder}"},
            "perceiver": {"layers": 1, "latents": 2, "heads": 2, "head_width": 8, "ff_multiple": 2},
            "cross_attention": {"every": 1, "heads": 2, "head_width": 8, "ff_multiple": 2, "gate_start": 0.5},
            "language": {"config": {"model_type": "mistral", "tie_word_embeddings": True, "pad_token_id": None,
                                    "initializer_range": 0.3, "num_key_value_heads": 1, **sizes}},
        },
        "steps": 1, "rows_per_step": 1,
    }  # fmt: skip
    config, folder = parse_settings(recipe, TrainConfig, where="test"), str(tmp_path_factory.mktemp("run"))
    tokenizer = load_tokenizer(TOKENIZER)
    model = build_model(config.model, tokenizer, seed=3)
    save_weights(folder, step=7, model=model, tokenizer=tokenizer, config=config)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("exported"))
    assert export(run, folder) == 7
    return folder


def test_an_exported_run_is_the_same_model_and_tokenizer(run, exported):
    assert (is_published(exported), is_published(run)) == (True, False)
    was, now = load_model(run), load_speaker(exported)
    assert was.model.state_dict().keys() == now.model.state_dict().keys()
    for name, tensor in was.model.state_dict().items():
        assert torch.equal(tensor, now.model.state_dict()[name]), name
    assert now.model.language.lm_head.weight is now.model.language.model.embed_tokens.weight  # still tied
    assert torch.equal(was.model.vision(pictures(2)), now.model.vision(pictures(2)))  # the same mean and std
    assert now.tokenizer.vocabulary.fingerprint == was.tokenizer.vocabulary.fingerprint
    about = json.loads((Path(exported) / "config.json").read_text())
    assert about["image_token_id"] == was.tokenizer.vocabulary.image
    assert about["perceiver"] == {"layers": 1, "latents": 2, "heads": 2, "head_width": 8, "ff_multiple": 2}


def test_another_models_tokenizer_is_refused(exported, tmp_path):
    model = InfiMM.from_pretrained(exported)
    small = model.language
    small.resize_token_embeddings(40)
    model.save_pretrained(str(tmp_path))
    load_tokenizer(TOKENIZER).save(str(tmp_path))
    with pytest.raises(ConfigError, match="tokens, but the model has 40; is it another model's tokenizer"):
        load_speaker(str(tmp_path))


def test_a_vision_tower_of_ones_own_cannot_be_exported(tmp_path):
    from tests.model.conftest import tiny_model

    with pytest.raises(ConfigError, match="no published config describes it"):
        tiny_model().save_pretrained(str(tmp_path))


def said(capsys, *arguments: str) -> str:
    assert cli.main(["generate", *arguments, "--device", "cpu"]) == 0
    return capsys.readouterr().out


def test_both_folders_say_the_same_alone_and_in_a_batch(run, exported, tmp_path, capsys):
    from PIL import Image

    files = []
    for number, shade in enumerate((30, 220)):
        files.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (SIDE, SIDE), (shade,) * 3).save(files[-1])
    few = ("--max-tokens", "6", "--beams", "2")
    alone = [said(capsys, exported, "--image", file, "--prompt", "It is", *few) for file in files]
    assert alone[0] == said(capsys, run, "--image", files[0], "--prompt", "It is", *few)
    batch = tmp_path / "batch.jsonl"
    batch.write_text("".join(json.dumps({"images": [file], "prompt": "It is"}) + "\n" for file in files))
    lines = [json.loads(line) for line in said(capsys, run, "--batch", str(batch), *few).splitlines()]
    assert [printable(line["answer"]) + "\n" for line in lines] == alone
    assert [line["images"] for line in lines] == [[file] for file in files]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--beams", "2", "--temperature", "1"), "2 beams at temperature 1.0"),
        (("--stop", "</st>"), "'</st>' is no token of the vocabulary"),
        (("--min-tokens", "50"), "min_new_tokens 50"),
        (("--batch-size", "0"), "--batch-size 0: expected at least 1"),
        (("--batch", "x", "--prompt", "y"), "leave out --image and --prompt"),
        (("--batch", "nowhere.jsonl"), "no such file"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_status_2(exported, capsys, arguments, problem):
    assert cli.main(["generate", exported, *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_line_of_a_batch_that_is_none_is_named(exported, tmp_path, capsys):
    batch = tmp_path / "batch.jsonl"
    for line in ('{"images": "a.png"}', "[1]", "no"):
        batch.write_text('{"prompt": "x"}\n' + line + "\n")
        assert cli.main(["generate", exported, "--batch", str(batch)]) == 2
        assert "line 2: expected" in capsys.readouterr().err


def test_the_command_publishes(run, tmp_path, capsys):
    assert cli.main(["publish", run, "--out", str(tmp_path / "out")]) == 0
    assert "the model of step 7" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").is_file()
