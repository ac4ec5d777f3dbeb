"""Every training recipe that the project ships: at full size it is planned without memory, in small it takes a step."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from infimm_data.config import load_settings, load_yaml
from infimm_data.files import resolve
from model.config import TrainConfig
from model.train import train
from pipelines.cli import main
from tests.model.conftest import TOKENIZER, clip_folder  # noqa: F401  # a fixture
from tests.model.shades import write_shades

RECIPES = sorted((Path(__file__).resolve().parents[1] / "configs" / "train").glob("*.yaml"))
LLAMA_13B = {
    "model_type": "llama", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
    "num_attention_heads": 40, "num_key_value_heads": 40, "vocab_size": 32002, "max_position_embeddings": 4096,
}  # fmt: skip
MISTRAL_7B = LLAMA_13B | {
    "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 32768,
}  # fmt: skip
SIZES = {"llama-2-13b": LLAMA_13B, "vicuna-13b-v1.5": LLAMA_13B, "zephyr-7b-beta": MISTRAL_7B}
BLOCKS = {  # INFIMM.md 1.0, 1.4: 16 blocks of 139,476,994 in Zephyr, 10 of 63,076,352 in HD; 13B: 8 x 64, 10 blocks
    "zephyr": 16 * 139_476_994,
    "hd_13b": 10 * 63_076_352,
    "vicuna_13b": 10 * (5120 * 512 * 2 + 1792 * 1024 + 5120 * 20480 * 2 + 4 * 5120 + 2),
    "llama2_13b": 10 * (5120 * 512 * 2 + 1408 * 1024 + 5120 * 20480 * 2 + 4 * 5120 + 2),
}
CONNECTORS = {"perceiver", "cross_attention", "embeddings"}
TRAINED = {  # freeze policies (INFIMM.md 1.7); those that are not the connectors
    "pretrain_hd_13b": {"cross_attention"},
    "instruct_llama2_13b": CONNECTORS | {"language"},
    "demo": CONNECTORS | {"language"},
    "conversations": CONNECTORS | {"language"},
}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The folders that recipes name, with configs and a tokenizer but no weights; the working folder lies beside."""
    for name, sizes in SIZES.items():
        (tmp_path / "weights" / name).mkdir(parents=True)
        (tmp_path / "weights" / name / "config.json").write_text(json.dumps(sizes))
    for name in ("infimm-zephyr", "infimm-llama13b", "infimm-vicuna13b"):
        shutil.copytree(resolve(TOKENIZER), tmp_path / "weights" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shards(recipe: dict, folder: Path) -> str:
    """Write the datasets that a recipe mixes, or one."""
    datasets = recipe.get("stream", {}).get("mixture", {})
    for one in datasets.values():
        write_shades(str(folder / one["shards"]), 60)
    return str(folder) if datasets else write_shades(str(folder / "shards"), 60)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_planned_at_full_size_over_eight_devices(path, weights, capsys):
    data = shards(load_yaml(str(path)), weights / "data")
    assert main(["plan", str(path), "--data", data, "--devices", "8", "--memory-gb", "80"]) == 0
    said = capsys.readouterr().out
    parts = dict(re.findall(r"^    (\w+) +[\d,]+ parameters, ([\d,]+) train$", said, re.MULTILINE))
    assert {name for name, number in parts.items() if number != "0"} == TRAINED.get(path.stem, CONNECTORS)
    for model, size in BLOCKS.items():
        if path.stem.endswith(model):
            assert re.search(rf"cross_attention +{size:,} parameters", said)
    assert "it fits" in said


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_in_small_takes_a_step_as_its_stage_says(path, clip_folder, weights):  # noqa: F811
    recipe = load_yaml(str(path))
    data, kind = shards(recipe, weights / "data"), "llama" if "13b" in path.stem else "mistral"
    model = recipe["model"] | {"vision": {"name": f"local-dir:{clip_folder}"}}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}
    model["language"] = {"config": {"model_type": kind, "num_key_value_heads": 2, "pad_token_id": None, **sizes}}
    small = {"steps": 1, "rows_per_step": 2, "micro_rows": 1, "compile": False, "threads": 1, "tensorboard": False}
    if "holdout_fraction" in recipe.get("stream", {}):
        small["stream"] = recipe["stream"] | {"holdout_fraction": 0.2}  # of 60 documents
    (weights / "recipe.yaml").write_text(yaml.safe_dump(recipe | small | {"model": model}))
    config = load_settings(str(weights / "recipe.yaml"), TrainConfig)
    result = train(config, data=data, out=str(weights / "run"))
    assert result.steps == 1
    assert 0 < result.train_loss < 20
