"""Every recipe that the project ships parses, says what it is, and names only files and models that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from infimm_data.config import load_settings, load_yaml
from infimm_data.files import resolve
from model.config import TrainConfig
from pipelines.cli import main
from pipelines.recipe import load_recipe

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BUILD = sorted((CONFIGS / "build").glob("*.yaml"))
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_parses_and_every_step_edits_or_states_rules(path):
    recipe = load_recipe(str(path))
    assert recipe.steps
    assert [step.name for step in recipe.steps if not step.filter.rules()] == [step.name for step in recipe.edits]


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_dry_runs_or_names_the_dump_that_is_to_be_put_in_place(path, tmp_path, capsys):
    settings = load_yaml(str(path))["source"]
    if any("://" in str(value) for value in settings.values()):
        pytest.skip(f"{path.name} lists its work items over the network")
    status = main(["build", str(path), "--out", str(tmp_path / "out"), "--dry-run"])
    said = capsys.readouterr()
    if status == 0:
        assert "work items" in said.out
    else:
        assert status == 2
        assert said.err.count("\n") == 1
        assert any(str(value) in said.err for key, value in settings.items() if key != "kind"), said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_a_training_recipe_parses_and_its_folders_are_there(path):
    config = load_settings(str(path), TrainConfig)
    for folder in (config.model.tokenizer, config.model.vision.name):
        assert Path(resolve(folder).removeprefix("local-dir:")).is_dir()


@pytest.mark.parametrize("path", [*BUILD, *TRAIN], ids=lambda path: path.stem)
def test_a_recipe_opens_with_what_it_makes_and_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# What:")
    assert lines[1].startswith("# Run:")


def test_there_are_recipes_of_both_kinds():
    assert BUILD
    assert TRAIN
