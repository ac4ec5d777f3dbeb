"""Every recipe that the project ships parses, says what it is, and names only files and models that exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from infimm_data.config import load_settings, load_yaml
from infimm_data.files import resolve
from model.config import TrainConfig
from model.evaluation.recipe import load_eval_recipe
from pipelines.cli import main
from pipelines.recipe import load_recipe
from tests.pipelines.archives.made_archives import write_crawl

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BUILD = sorted((CONFIGS / "build").glob("*.yaml"))
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
EVAL = sorted((CONFIGS / "eval").glob("*.yaml"))


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_parses_and_every_step_edits_or_states_rules(path):
    recipe = load_recipe(str(path))
    assert recipe.steps
    assert [step.name for step in recipe.steps if not step.filter.rules()] == [step.name for step in recipe.edits]


def in_place(kind: str, folder: Path) -> dict[str, str]:
    """Put a dump of a kind that lies elsewhere (on the network, or made by the user) in place; return its settings."""
    if kind == "common_crawl":
        write_crawl(folder, files=2)
        return {"base": str(folder)}
    if kind == "common_crawl_index":
        names = ("filename", "offset", "length", "url")
        rows = [dict(zip(names, row, strict=True)) for row in write_crawl(folder, files=2)]
        (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"base": str(folder), "path": str(folder / "index.jsonl")}
    if kind == "live_crawl":
        (folder / "pages.txt").write_text("https://a.example/\n")
        return {"path": str(folder / "pages.txt")}
    return {}


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_dry_runs_or_names_the_dump_that_is_to_be_put_in_place(path, tmp_path, capsys):
    data = load_yaml(str(path))
    (tmp_path / "dump").mkdir()
    given = in_place(data["source"]["kind"], tmp_path / "dump")
    data["source"] |= given
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(data, sort_keys=False))
    status = main(["build", str(recipe), "--out", str(tmp_path / "out"), "--dry-run"])
    said = capsys.readouterr()
    if status == 0:
        assert "work items" in said.out
    else:
        assert not given
        assert status == 2
        assert said.err.count("\n") == 1
        assert any(str(value) in said.err for key, value in data["source"].items() if key != "kind"), said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_a_training_recipe_parses_and_its_folders_are_there(path):
    config = load_settings(str(path), TrainConfig)
    for folder in (config.model.tokenizer, config.model.vision.name):
        assert Path(resolve(folder).removeprefix("local-dir:")).is_dir()


@pytest.mark.parametrize("path", EVAL, ids=lambda path: path.stem)
def test_an_evaluation_recipe_parses_and_shows_the_picture(path):
    assert "<image>" in load_eval_recipe(str(path)).prompt


@pytest.mark.parametrize("path", [*BUILD, *TRAIN, *EVAL], ids=lambda path: path.stem)
def test_a_recipe_opens_with_what_it_makes_and_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# What:")
    assert lines[1].startswith("# Run:")


def test_there_are_recipes_of_all_kinds():
    assert BUILD
    assert TRAIN
    assert EVAL
