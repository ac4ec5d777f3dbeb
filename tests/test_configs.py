"""Every recipe that the project ships parses, says what it is, and names only files and models that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from infimm_data.config import load_settings, load_yaml
from infimm_data.files import resolve
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import TrainConfig
from model.evaluation.recipe import load_eval_recipe
from pipelines.cli import main, make_parser
from pipelines.recipe import load_recipe
from tests.made_dumps import make_dump

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
    assert re.search(r"^    0 +(\d[\d.]* [kM]?B|size unknown)  \S", said, re.MULTILINE), said
    assert re.search(r"^\d+ work items, \d[\d.]* [kM]?B to read$", said, re.MULTILINE), said
    expected = r"before any step: about ([\d,]+) documents, about [\d,]+ images, \d+\.\d s to extract"
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
def test_a_training_recipe_parses_and_what_it_reads_is_shipped_or_named(path):
    config = load_settings(str(path), TrainConfig)
    tower = config.model.vision
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for folder in (config.model.tokenizer, tower.name, config.model.language.pretrained):
        if folder is not None and "package:" in folder:
            assert Path(resolve(folder).removeprefix("local-dir:")).is_dir()
        elif folder is not None and folder != tower.name:
            assert any(folder in line for line in header), f"'# Needs:' does not name {folder}"
    if not tower.name.startswith("local-dir:"):
        declare_torchvision_ops()
        import open_clip

        assert (tower.name, tower.pretrained) in open_clip.list_pretrained()


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
