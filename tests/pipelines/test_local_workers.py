"""Processes in place of Ray: they stay for the next pass, die with the driver, and build the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infimm_data.errors import ConfigError
from pipelines.build import build
from pipelines.commands.train_on_ray import Launch, train_on_ray
from pipelines.executor import OFF, Cluster, Task
from pipelines.layout import Layout
from pipelines.local_workers import LocalWorkers
from pipelines.run import Run
from tests.pipelines import work
from tests.pipelines.made_source import WEB, make_recipe
from tests.pipelines.test_under_fire import ROOT, digests

DRIVER = """
import sys
from pipelines.executor import OFF, Cluster, Task
from tests.pipelines import work
with Cluster(address=OFF, workers=2) as cluster:
    cluster.run("test", work.say_where_and_sleep, [Task(str(n), (n, sys.argv[1])) for n in range(2)])
"""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(seen):
    ends = time.monotonic() + 30
    while not seen() and time.monotonic() < ends:
        time.sleep(0.01)
    return seen()


def test_a_build_without_ray_has_the_same_bytes(first, web, dump, tmp_path):
    out = tmp_path / "out"
    with Cluster(address=OFF, workers=2) as cluster:
        build(Run(make_recipe(dump), Layout(str(out)), cluster, {WEB: web.address}))
    assert digests(out) == digests(first)


def test_a_worker_stays_for_the_next_pass_and_ends_with_the_cluster():
    with Cluster(address=OFF, workers=1) as cluster:
        (pid,) = cluster.run("first", os.getpid, [Task("a", ())]).results
        assert cluster.run("second", os.getpid, [Task("a", ()), Task("b", ())]).results == [pid, pid]
        assert is_alive(pid)
    assert not is_alive(pid)


def test_workers_with_a_model_end_with_their_pass():
    workers = LocalWorkers(2, work.model_of_pid())
    workers.submit(work.ask_model, (1,))
    ((_, answer),) = workers.wait()
    assert answer == (1, True)
    (worker,) = workers._free
    workers.stop()
    assert not is_alive(worker.process.pid)


def test_a_worker_that_dies_while_it_is_idle_costs_no_task():
    with Cluster(address=OFF, workers=1) as cluster:
        (pid,) = cluster.run("first", os.getpid, [Task("a", ())]).results
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not is_alive(pid))
        report = cluster.run("second", work.double_later, [Task("a", (3, 3))])
    assert (report.results, report.failures) == ([6], [])


def test_what_is_under_way_ends_when_a_pass_is_given_up(tmp_path):
    workers = LocalWorkers(1)
    workers.submit(work.say_where_and_sleep, (0, str(tmp_path)))
    assert wait_until(lambda: any(tmp_path.iterdir()))
    workers.stop()
    (mark,) = tmp_path.iterdir()
    assert not is_alive(mark.name)


def test_workers_die_with_a_driver_that_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], cwd=ROOT) as driver:
        assert wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        driver.kill()
    pids = [path.name for path in tmp_path.iterdir()]
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_training_asks_for_no_cluster_that_is_off():
    with pytest.raises(ConfigError, match=r"^--ray off: leave the flag out to train without Ray$"):
        train_on_ray(None, Launch(data="", out="", start=None), address=OFF, workers=None)
