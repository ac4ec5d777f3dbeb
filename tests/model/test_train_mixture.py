"""A mixture: the log has the loss of each dataset, and a weight scales what its tokens teach."""

import pytest

from model.train import train
from model.train_log import read_metrics
from tests.model.shades import losses, write_shades


@pytest.fixture
def root(tmp_path):
    for name, every in (("pages", 1), ("pairs", 2)):
        write_shades(str(tmp_path / name), 80, every=every)
    return str(tmp_path)


def mixture(recipe, *, pairs=1.0, **changed):
    sources = {"pages": {"shards": "pages"}, "pairs": {"shards": "pairs", "loss_weight": pairs}}
    return recipe(stream={"row_tokens": 64, "mixture": sources}, steps=4, checkpoint_every=None, **changed)


def test_the_log_has_the_loss_of_each_dataset(recipe, root, tmp_path):
    train(mixture(recipe), data=root, out=str(tmp_path / "run"))
    for line in read_metrics(tmp_path / "run" / "metrics.jsonl"):
        one, other = line["loss_by_source"]["pages"], line["loss_by_source"]["pairs"]
        assert min(one, other) <= line["loss"] <= max(one, other)


@pytest.mark.parametrize("loss_mean", ["tokens", "sources"])
def test_a_dataset_of_weight_zero_teaches_nothing(recipe, root, tmp_path, loss_mean):
    found = {}
    for weight in (1.0, 0.0):
        out = tmp_path / f"{weight}"
        train(mixture(recipe, pairs=weight, loss_mean=loss_mean), data=root, out=str(out))
        found[weight] = read_metrics(out / "metrics.jsonl")
        assert losses(out)[0] == pytest.approx(losses(tmp_path / "1.0")[0])
    assert found[0.0][0]["grad_norm"] != pytest.approx(found[1.0][0]["grad_norm"], rel=0.01)
    assert found[0.0][-1]["loss_by_source"] != found[1.0][-1]["loss_by_source"]
