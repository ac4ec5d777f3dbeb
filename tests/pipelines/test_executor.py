"""Passes on Ray and without: order, retries, lost workers, hopeless runs, models that load once."""

from __future__ import annotations

import logging
import socket

import pytest

from infimm_data.errors import ConfigError, InfiMMError
from pipelines.executor import MAX_FAILED_IN_ROW, OFF, Cluster, Task
from pipelines.workers import MAX_LOST_LOADING, Model, ModelWorkers
from tests.pipelines import work


@pytest.fixture(params=["ray", OFF])
def either(request):
    """Ray's workers, then forked ones."""
    if request.param == "ray":
        yield request.getfixturevalue("cluster")
        return
    with Cluster(address=OFF, workers=2) as forked:
        yield forked


def tasks(count, *more):
    return [Task(f"item {n}", (n, *more)) for n in range(count)]


def test_results_stand_in_the_order_of_the_tasks(either):
    report = either.run("test", work.double_later, tasks(6, 6))
    assert report.results == [0, 2, 4, 6, 8, 10]
    assert report.failures == []
    assert report.seconds > 0


def test_no_tasks_make_an_empty_report_and_start_no_ray():
    idle = Cluster(workers=1)
    assert idle.run("test", work.double_later, []).results == []
    assert not idle._owned


def test_a_task_that_fails_once_is_tried_again(either, tmp_path):
    report = either.run("test", work.fail_first, tasks(3, str(tmp_path)))
    assert (report.results, report.failures) == ([0, 1, 2], [])


def test_a_task_that_fails_always_is_named_and_its_neighbours_finish(either, caplog):
    with caplog.at_level(logging.WARNING):
        report = either.run("extract", work.fail_always, tasks(4, (2,)))
    assert report.results == [0, 1, None, 3]
    (failure,) = report.failures
    assert (failure.name, failure.problem) == ("item 2", "dump 2 is cut off")
    assert "in fail_always" in failure.trace
    assert "pass=extract item=item 2 failed: dump 2 is cut off" in caplog.text


def test_an_unexpected_exception_says_its_type(either):
    (failure,) = either.run("test", work.fail_always, [Task("x", (-1, ()))]).failures
    assert failure.problem == "ZeroDivisionError: a bug"


def test_a_killed_worker_is_replaced_and_its_task_runs_again(either, tmp_path):
    report = either.run("test", work.die_first, tasks(2, str(tmp_path)))
    assert (report.results, report.failures) == ([0, 1], [])


def test_a_task_that_kills_every_worker_is_named_and_its_neighbours_finish(either):
    report = either.run("test", work.die_always, tasks(3))
    assert report.results == [0, None, 2]
    (failure,) = report.failures
    assert failure.name == "item 1"
    assert failure.problem.startswith(
        ("worker lost: The worker died unexpectedly", "worker lost: it left with exit status 1")
    )
    assert "\n" not in failure.problem


def test_many_failures_in_a_row_stop_the_pass_with_one_line(either):
    bad = tuple(range(MAX_FAILED_IN_ROW + 20))
    with pytest.raises(
        InfiMMError, match=r"^extract: 10 work items failed one after the other, .*cut off; fix"
    ) as caught:
        either.run("extract", work.fail_always, tasks(len(bad), bad))
    assert "\n" not in str(caught.value)


def test_scattered_failures_do_not_stop_the_pass(either):
    bad = tuple(n for n in range(40) if n % 4)
    report = either.run("test", work.fail_always, tasks(40, bad))
    assert len(report.failures) == 30


def test_a_model_loads_once_per_worker_and_calls_run_beside_it(either, tmp_path):
    report = either.run("score", work.ask_model, tasks(8), Model(work.load_counted, (str(tmp_path),)))
    assert report.results == [(n, True) for n in range(8)]
    assert len(list(tmp_path.iterdir())) in (1, 2), "a second worker that loads later than the work lasts gets none"


def test_one_task_starts_one_worker(either, tmp_path):
    either.run("score", work.ask_model, tasks(1), Model(work.load_counted, (str(tmp_path),)))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_model_that_does_not_load_stops_the_pass_at_once(either):
    with pytest.raises(ConfigError, match=r"^score clip: the model does not load: w\.pt: no weights$"):
        either.run("score clip", work.ask_model, tasks(50), Model(work.load_nothing, ("w.pt",)))


def test_a_model_worker_that_is_killed_loads_again(either, tmp_path):
    loads, marks = tmp_path / "loads", tmp_path / "marks"
    loads.mkdir()
    marks.mkdir()
    model = Model(work.load_counted, (str(loads),))
    report = either.run("score", work.ask_mortal_model, tasks(4, str(marks)), model)
    assert report.results == [0, 1, 2, 3]
    assert len(list(loads.iterdir())) >= 2


def test_more_model_workers_than_the_cluster_has_room_for_keep_nobody_waiting(cluster, tmp_path):
    """As after a node was lost: those that never start get no work."""
    workers = ModelWorkers(Model(work.load_counted, (str(tmp_path),)), size=9)
    for number in range(3):
        while not workers.has_room():
            assert workers.wait() == []
        workers.submit(work.ask_model, (number,))
        ((_, answer),) = wait_for_answers(workers)
        assert answer == (number, True)
    workers.stop()
    assert len(list(tmp_path.iterdir())) <= 4


def wait_for_answers(workers):
    while not (ended := workers.wait()):
        pass
    return ended


def test_workers_that_die_while_the_model_loads_stop_the_pass_with_one_line(cluster):
    with pytest.raises(
        InfiMMError, match=rf"^{MAX_LOST_LOADING} workers were lost .* may need more memory than there is$"
    ):
        cluster.run("score", work.ask_model, tasks(4), Model(work.load_and_die, ()))


def test_progress_lines_name_the_pass_its_parts_and_its_time(cluster, capsys):
    cluster.run("extract", work.double_later, tasks(3, 3))
    assert "extract: 3/3 items in " in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_one_line_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for form in (address, f"ray://{address}"):
        with pytest.raises(ConfigError, match=rf"^--ray {form}: no Ray cluster answers there \(") as caught:
            Cluster(address=form)
        assert "\n" not in str(caught.value)


def test_workers_and_an_address_exclude_each_other():
    with pytest.raises(ConfigError, match="--workers: the cluster at --ray has its own size"):
        Cluster(address="auto", workers=2)


def test_the_progress_says_what_was_dropped_so_far(cluster, capsys, monkeypatch):
    monkeypatch.setattr("infimm_data.progress.SECONDS_BETWEEN_LINES", 0.0)
    cluster.run("fetch", work.double_later, tasks(3, 3), counted=lambda doubled: {"in": 10, "http_404": doubled})
    lines = capsys.readouterr().err.splitlines()
    assert "10 in, " in lines[0]
    assert "% dropped (http_404" in lines[1]
    assert lines[-1].startswith("fetch: 3/3 items in ")
    assert lines[-1].endswith("30 in, 20.0 % dropped (http_404 20.0 %)"), "0, 2 and 4 of 30"
