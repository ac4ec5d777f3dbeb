"""`infimm train`: here, and in workers of Ray Train; what is wrong with the flags is one line."""

import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infimm_data.errors import ConfigError
from model.checkpoint import checkpoints
from pipelines.cli import main
from pipelines.commands.train_on_ray import STOP, Launch, Stopped, _Progress, _rank, _stoppable, marks
from tests.model.conftest import clip_folder  # noqa: F401  # a fixture
from tests.model.shades import losses, settings, write_shades


@pytest.fixture
def given(clip_folder, tmp_path):  # noqa: F811  # the fixture above
    """A recipe's path, and a folder of shards."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings(clip_folder, steps=3)))
    return str(path), write_shades(str(tmp_path / "data"), 40)


def test_a_run_says_how_it_ended_and_where_it_left_what(given, tmp_path, capsys):
    recipe, data = given
    assert main(["train", recipe, "--data", data, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "3 steps, loss " in said.out
    assert "step-00000003" in said.out
    assert "train: 3/3 steps" in said.err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--workers", "2"], "--workers: only with --ray"),
        (["--ray", "local", "--workers", "0"], "--workers 0: expected at least 1"),
        (["--ray", "127.0.0.1:1"], "no Ray cluster answers there"),
        (["--from", "nowhere"], "nowhere: no checkpoint"),
    ],
)
def test_wrong_flags_are_one_line_and_status_2(given, tmp_path, capsys, flags, problem):
    recipe, data = given
    assert main(["train", recipe, "--data", data, "--out", str(tmp_path / "run"), *flags]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_only_the_first_of_many_ranks_speaks(given, tmp_path, capsys, monkeypatch):
    recipe, data = given
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as left:
        main(["train", recipe, "--data", data, "--out", str(tmp_path / "run"), "--from", "nowhere"])
    assert left.value.code == 1
    assert capsys.readouterr().err == ""


def test_a_rank_on_ray_stops_after_its_step_where_the_launcher_asks_it_to(clip_folder, given, tmp_path):  # noqa: F811
    out = tmp_path / "run"
    out.mkdir()
    (out / STOP).touch()
    launch = {"data": given[1], "out": str(out), "start": None}
    found = _rank({"config": settings(clip_folder, steps=3), "folder": str(tmp_path), "launch": launch})
    assert isinstance(found, Stopped)
    assert found.line.startswith("stopped after step 1 of 3, checkpoint: ")
    assert [one.name for one in checkpoints(str(out))] == ["step-00000001"]


def test_ctrl_c_asks_the_ranks_on_ray_to_stop_and_leaves_no_request_for_the_next_run(tmp_path):
    asked, main_thread = tmp_path / STOP, threading.get_ident()
    asked.touch()  # of a launcher that was killed

    def fit():
        assert not asked.exists()
        signal.pthread_kill(main_thread, signal.SIGINT)
        for _ in range(1000):
            if asked.exists():
                return "stopped"
            time.sleep(0.01)
        return "nobody asked"

    assert _stoppable(fit, asked) == "stopped"
    assert not asked.exists()


def test_an_error_of_ray_is_raised_where_it_was_waited_for(tmp_path):
    with pytest.raises(ZeroDivisionError):
        _stoppable(lambda: 1 / 0, tmp_path / STOP)


@pytest.mark.parametrize(
    ("line", "said"), [("stopped after step 3", "stopped after step 3"), ("", "goes on from here")]
)
def test_an_interrupt_is_one_line_and_status_130_of_the_first_rank(given, tmp_path, capsys, monkeypatch, line, said):
    def stopped(*_, **__):
        raise KeyboardInterrupt(*filter(None, [line]))

    monkeypatch.setattr("model.train.train", stopped)
    command = ["train", given[0], "--data", given[1], "--out", str(tmp_path / "run")]
    assert main(command) == 130
    assert capsys.readouterr().err.endswith(f"{said}\n")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as left:
        main(command)
    assert (left.value.code, capsys.readouterr().err) == (130, "")


def test_ray_workers_that_start_anew_remove_the_old_run_once_its_successor_begins(clip_folder, given, tmp_path):  # noqa: F811
    recipe = settings(clip_folder, steps=2)
    out = str(tmp_path / "run")
    first = {"data": given[1], "out": out, "start": None}

    def rank(**changed):
        return _rank({"config": recipe, "folder": str(tmp_path), "launch": first | changed})

    assert rank().num_tokens > 0
    replaces = list(marks(out))
    assert isinstance(rank(replaces=replaces, data=str(tmp_path / "nowhere")), ConfigError)
    assert list(marks(out)) == replaces
    assert rank(replaces=replaces).num_tokens > 0
    assert list(marks(out)) != replaces
    assert rank(replaces=replaces).num_tokens == 0  # a worker that was lost: it goes on


def test_the_progress_of_a_run_that_starts_anew_counts_none_of_the_old_steps(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text('{"step": 8, "loss": 1.0}\n')
    launch = Launch(data="", out=str(tmp_path), start=None)
    for replaces, said in ((("step-00000008 1",), "train: 0/9 steps"), (None, "train: 0/1 steps")):
        with _Progress(replace(launch, replaces=replaces), 9):
            pass
        assert said in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, of its own parts
def test_two_workers_of_ray_train_give_the_losses_of_one_process(cluster, given, tmp_path):
    recipe, data = given
    here, there = tmp_path / "here", tmp_path / "there"
    assert main(["train", recipe, "--data", data, "--out", str(here)]) == 0
    shutil.copytree(here, there)
    shutil.rmtree(there / "checkpoints" / "step-00000003")  # as a kill leaves it: the workers go on from step 2
    assert main(["train", recipe, "--data", data, "--out", str(there), "--ray", "local", "--workers", "2"]) == 0
    assert losses(there) == pytest.approx(losses(here), abs=2e-5)
    assert len(list((Path(there) / "checkpoints" / "step-00000003" / "tensors").glob("shard-00002-*"))) == 2
