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
from pipelines.cli import main, make_parser
from pipelines.recipe import load_recipe
from tests.pipelines.archives.made_archives import write_crawl

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BUILD = sorted((CONFIGS / "build").glob("*.yaml"))
TRAIN = sorted((CONFIGS / "train").glob("*.yaml"))
EVAL = sorted((CONFIGS / "eval").glob("*.yaml"))
CLUSTER = CONFIGS / "cluster"
JOB_FIELDS = {  # RayJobSpec in KubeRay's rayjob_types.go, those that a build may need
    *(
        "activeDeadlineSeconds",
        "backoffLimit",
        "rayClusterSpec",
        "submitterPodTemplate",
        "entrypoint",
        "submissionMode",
    ),
    *("runtimeEnvYAML", "ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "suspend"),
}


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


@pytest.mark.parametrize("path", [*BUILD, *TRAIN, *EVAL, *CLUSTER.glob("*.yaml")], ids=lambda path: path.stem)
def test_a_recipe_opens_with_what_it_makes_and_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# What:")
    assert lines[1].startswith("# Run:")


def test_there_are_recipes_of_all_kinds():
    assert BUILD
    assert TRAIN
    assert EVAL


def test_the_cluster_file_of_ray_up_passes_rays_own_validation():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((CLUSTER / "ray_up.yaml").read_text())
    validate_config(prepare_config(config))
    nodes = config["available_node_types"]
    assert nodes["head"]["resources"]["CPU"] == 0  # no work item on the driver's node
    assert sum(node["max_workers"] for node in nodes.values()) <= config["max_workers"]
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(config | {"head_node_type": "absent"}))


def test_the_kuberay_job_runs_a_command_that_we_have_with_the_ray_that_was_tested():
    job = yaml.safe_load((CLUSTER / "kuberay_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    command = job["spec"]["entrypoint"].split()
    assert command[0] == "infimm"
    asked = make_parser().parse_args(command[1:])
    assert load_recipe(str(CONFIGS.parent / asked.recipe)).steps
    assert set(job["spec"]) <= JOB_FIELDS
    cluster = job["spec"]["rayClusterSpec"]
    pinned = dict(
        line.split("==") for line in (CONFIGS.parent / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert cluster["rayVersion"] == pinned["ray"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]  # Ray counts the limits
