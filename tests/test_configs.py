"""Every recipe that the project ships parses, says what it is, and names only files and models that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from infimm_data.config import load_settings, load_yaml
from infimm_data.files import resolve
from model.config import TrainConfig
from model.evaluation.recipe import load_eval_recipe
from pipelines.cli import main
from pipelines.recipe import load_recipe
from tests.made_dumps import make_dump

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BUILD = sorted((CONFIGS / "build").glob("*.yaml"))
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
EVAL = sorted((CONFIGS / "eval").glob("*.yaml"))


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_parses_and_every_step_edits_or_states_rules(path):
    recipe = load_recipe(str(path))
    assert recipe.steps
    assert [step.name for step in recipe.steps if not step.filter.rules()] == [step.name for step in recipe.edits]


@pytest.fixture
def dry_run(tmp_path, capsys):
    """Return a function that dry-runs a recipe over a made dump with other settings: its status, and what it says."""

    def run(recipe: Path, **settings) -> tuple[int, str]:
        (tmp_path / "dump").mkdir(exist_ok=True)
        data = load_yaml(str(recipe))
        data["source"] |= {**make_dump(recipe.stem, tmp_path / "dump"), **settings}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        status = main(["build", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out"), "--dry-run"])
        assert not (tmp_path / "out").exists()
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


WITHOUT_COLUMNS = ("web_archive", "common_crawl", "img2dataset_shards", "mint1t", "openflamingo", "live_crawl")


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_dry_runs_over_its_dump_and_tells_what_it_holds(path, dry_run):
    status, said = dry_run(path)
    assert status == 0, said
    kind = load_yaml(str(path))["source"]["kind"]
    is_crawl = kind == "live_crawl"  # which tells how much there is, not what
    told = "an unknown number of images, the time" if is_crawl else r"about [\d,]+ images, \d+\.\d s to extract"
    assert re.search(r"^    0 +(\d[\d.]* [kM]?B|size unknown)  \S", said, re.MULTILINE), said
    size = "of unknown size" if is_crawl else r"\d[\d.]* [kM]?B to read"
    assert re.search(rf"^\d+ work items, {size}$", said, re.MULTILINE), said
    expected = rf"before any step: about ([\d,]+) documents, {told}"
    found = re.search(expected, said)
    assert found, said
    assert int(found[1].replace(",", "")) >= 4
    assert ("columns: " in said) == (kind not in WITHOUT_COLUMNS), said
    assert "a build would stop" not in said, said


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.stem)
def test_a_build_recipe_without_its_dump_names_what_is_to_be_put_in_place(path, dry_run, tmp_path):
    kind = load_yaml(str(path))["source"]["kind"]
    status, said = dry_run(path, **{"base" if kind == "common_crawl" else "path": str(tmp_path / "absent")})
    assert status == 2
    assert said.count("\n") == 1, said
    assert str(tmp_path / "absent") in said


def test_a_dry_run_names_a_score_that_the_dump_does_not_have(dry_run):
    status, said = dry_run(CONFIGS / "build" / "datacomp.yaml", preset="generic")
    assert status == 0
    assert (
        "step stored_score asks for 'clip_l14_similarity_score', which the dump does not have; a build would stop"
        in said
    )


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
