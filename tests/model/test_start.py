"""A stage begins with the weights of the one before: of a run, of a checkpoint, of a published folder."""

import pytest
import torch

from infimm_data.errors import ConfigError
from model.checkpoint import load_model
from model.export import export
from model.parallel import World
from model.train import train
from model.training_run import begin


@pytest.fixture
def pretrained(data, recipe, tmp_path):
    out = str(tmp_path / "pretrained")
    train(recipe(steps=2), data=data, out=out)
    return out


@pytest.mark.parametrize("kind", ["run", "checkpoint", "published"])
def test_the_first_weights_are_those_of_the_stage_before(data, recipe, pretrained, tmp_path, kind):
    path = {
        "run": pretrained,
        "checkpoint": f"{pretrained}/checkpoints/step-00000002",
        "published": str(tmp_path / "p"),
    }[kind]
    if kind == "published":
        export(pretrained, path)
    run = begin(recipe(seed=5), World(torch.device("cpu")), data=data, start=path)
    run.stream.close()
    expected = dict(load_model(pretrained).model.named_parameters())
    for name, parameter in run.model.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    assert not run.optimizer.state


def test_a_stage_that_was_stopped_goes_on_from_itself(data, recipe, pretrained, tmp_path):
    second = str(tmp_path / "second")
    train(recipe(steps=2, train=["cross_attention"]), data=data, out=second, start=pretrained)
    was = load_model(second).model.perceiver.latents
    train(recipe(steps=3, train=["cross_attention"]), data=data, out=second, start=str(tmp_path / "gone"))
    assert torch.equal(load_model(second).model.perceiver.latents, was)
    assert torch.equal(was, load_model(pretrained).model.perceiver.latents)  # frozen since


def test_another_model_is_one_clear_line(data, recipe, pretrained, tmp_path):
    other = recipe().model_dump(mode="json")
    other["model"]["perceiver"]["latents"] = 3
    from infimm_data.config import parse_settings
    from model.config import TrainConfig

    for path, problem in (
        (pretrained, r"--from .*perceiver.latents is \[3, 16\] in the recipe, but it has \[2, 16\]"),
        (str(tmp_path / "nothing"), "no checkpoint"),
    ):
        with pytest.raises(ConfigError, match=problem):
            train(parse_settings(other, TrainConfig, where="t"), data=data, out=str(tmp_path / "out"), start=path)
    assert not (tmp_path / "out").exists()
