"""TensorBoard shows what metrics.jsonl says, also after a resume."""

import importlib.util

import pytest

from infimm_data.errors import ConfigError
from model.train import train
from model.train_board import Board
from model.train_log import read_metrics

pytest.importorskip("tensorboard", reason="tensorboard is not installed: run make again")


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_line_becomes_a_point_of_each_curve(tmp_path):
    board = Board(tmp_path, from_step=0)
    board.add({"step": 3, "loss": 1.5, "loss_by_source": {"pairs": 1.0, "pages": 2.0}})
    board.close()
    assert scalars(tmp_path) == {
        "loss": [(3, 1.5)],
        "loss_by_source/pairs": [(3, 1.0)],
        "loss_by_source/pages": [(3, 2.0)],
    }


def test_the_curves_are_the_log_and_a_resumed_run_draws_no_step_twice(data, recipe, tmp_path):
    train(recipe(steps=2, tensorboard=True), data=data, out=str(tmp_path))
    board = Board(tmp_path / "tensorboard", from_step=2)
    board.add({"step": 3, "loss": 99.0})  # a step after the last checkpoint, before a crash
    board.close()
    train(recipe(steps=4, tensorboard=True), data=data, out=str(tmp_path))
    found, lines = scalars(tmp_path / "tensorboard"), read_metrics(tmp_path / "metrics.jsonl")
    for name in ("loss", "grad_norm", "tokens_per_s", "data_wait", "fill", "useful_tflops"):
        expected = [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines if name in line]
        assert found[name] == expected
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4]


def test_a_run_that_starts_over_shows_nothing_of_the_old_one(tmp_path):
    for loss, steps in ((9.0, (1, 2, 3)), (1.0, (1, 2))):
        board = Board(tmp_path, from_step=0)
        for step in steps:
            board.add({"step": step, "loss": loss})
        board.close()
    assert scalars(tmp_path) == {"loss": [(1, 1.0), (2, 1.0)]}


def test_without_tensorboard_the_remedy_is_said_before_any_work(data, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install tensorboard, or set it to false"):
        train(recipe(tensorboard=True), data=data, out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
