"""metrics.jsonl: averages since the line before, and what a resumed run keeps of it."""

import json
import math
from types import SimpleNamespace

import pytest

from model.train_log import Devices, StepFacts, TrainLog, read_metrics


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def facts(**changed) -> StepFacts:
    known = {"loss_sum": 20.0, "num_targets": 10, "num_tokens": 12, "num_slots": 16, "num_images": 3, "wait_s": 0.5}
    return StepFacts(**(known | {"learning_rate": 0.1, "grad_norm": 1.0} | changed))


def test_a_line_averages_the_steps_since_the_one_before(tmp_path):
    clock = Clock()
    log = TrainLog(tmp_path / "metrics.jsonl", from_step=0, clock=clock)
    log.add(facts())
    log.add(facts(loss_sum=40.0, num_targets=30, num_tokens=20, learning_rate=0.2, grad_norm=2.0, num_images=0))
    clock.now = 4.0
    assert log.write(2) == {
        "step": 2, "loss": 1.5, "tokens_per_s": 8.0, "data_wait": 0.25, "fill": 1.0, "images": 1.5,
        "learning_rate": 0.2, "grad_norm": 2.0, "hardware_tflops": 0.0, "useful_tflops": 0.0,
    }  # fmt: skip
    log.add(facts())
    clock.now = 6.0
    assert log.write(3)["tokens_per_s"] == 6.0


def test_the_loss_weighs_every_target_the_same(tmp_path):
    log = TrainLog(tmp_path / "metrics.jsonl", from_step=0)
    log.add(facts(loss_sum=10.0, num_targets=1))
    log.add(facts(loss_sum=0.0, num_targets=9))
    assert log.write(2)["loss"] == 1.0


def test_the_time_of_an_evaluation_counts_for_no_step(tmp_path):
    clock = Clock()
    log = TrainLog(tmp_path / "metrics.jsonl", from_step=0, clock=clock)
    log.add(facts())
    clock.now = 10.0
    log.write_heldout(1, 0.5, seconds=8.0)
    log.add(facts())
    assert log.write(2)["tokens_per_s"] == pytest.approx(24 / 2.0)


def test_lines_after_the_checkpoint_are_dropped_and_a_cut_off_line_too(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": step / 10}) + "\n" for step in (1, 2, 3)) + '{"step": 4')
    log = TrainLog(path, from_step=2)
    assert log.last_loss == 0.2
    log.add(facts())
    log.write(3)
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [(1, 0.1), (2, 0.2), (3, 2.0)]


def test_without_a_log_there_is_no_last_loss(tmp_path):
    assert math.isnan(TrainLog(tmp_path / "new" / "metrics.jsonl", from_step=0).last_loss)


def test_mfu_is_of_all_slots_while_it_computes_and_of_what_teaches_all_the_time(tmp_path):
    clock = Clock()
    log = TrainLog(tmp_path / "m.jsonl", from_step=0, devices=Devices(count=2, peak_tflops=100.0), clock=clock)
    log.add(facts(wait_s=1.0, hardware_flops=240e12, useful_flops=120e12))
    clock.now = 4.0
    line = log.write(1)
    assert (line["hardware_tflops"], line["useful_tflops"]) == pytest.approx((40.0, 15.0))
    assert (line["hardware_mfu"], line["useful_mfu"]) == pytest.approx((0.4, 0.15))


def test_the_loss_of_each_source_is_a_mean_over_its_own_targets(tmp_path):
    log = TrainLog(tmp_path / "m.jsonl", from_step=0)
    log.add(facts(by_source={"pairs": (10.0, 5), "pages": (30.0, 10), "rare": (0.0, 0)}))
    log.add(facts(by_source={"pairs": (20.0, 5), "pages": (0.0, 0), "rare": (0.0, 0)}))
    assert log.write(2)["loss_by_source"] == {"pages": 3.0, "pairs": 3.0}


def test_a_run_with_a_feature_cache_says_how_often_it_hit(tmp_path):
    log = TrainLog(tmp_path / "m.jsonl", from_step=0)
    log.add(facts(num_images=3, cache_hits=0))
    log.add(facts(num_images=5, cache_hits=4))
    assert log.write(2)["cache_hits"] == 0.5


def test_a_line_holds_the_place_in_the_stream_and_the_board_its_numbers_alone(tmp_path):
    shown = []
    board = SimpleNamespace(add=shown.append)
    log = TrainLog(tmp_path / "m.jsonl", from_step=0, board=board)
    log.add(facts())
    line = log.write(1, stream={"rows": 4})
    log.write_heldout(1, 0.5, seconds=0.0)
    assert read_metrics(tmp_path / "m.jsonl") == [line | {"stream": {"rows": 4}}, {"step": 1, "heldout_loss": 0.5}]
    assert shown == [line, {"step": 1, "heldout_loss": 0.5}]
