"""Whatever is killed and whenever: the result is byte for byte that of the undisturbed build."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infimm_data.shards import read_manifest
from tests.pipelines.made_source import PAUSE

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(180)


def start(module, *arguments, pause_s=0.0):
    """Start a process that builds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PAUSE: str(pause_s)}
    command = [sys.executable, "-m", f"tests.pipelines.{module}", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def digests(out):
    return [(shard.name, shard.sha256) for shard in read_manifest(f"{out}/shards")]


def workers_of(pid):
    """Return the workers of this process that are at a task, found by their parents in /proc."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
    found = set()
    for process in parents:
        line, above = [process], process
        while above in parents and above != pid:
            above = parents[above]
            line.append(above)
        if above == pid and names[process].startswith((b"ray::attempt", b"ray::_Holder")):  # not Ray's own agents
            found.add(process)
    return sorted(found)


def wait_for(seen, process):
    """Wait until something is there, or the process has ended."""
    ends = time.monotonic() + 60
    while not seen() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)


@pytest.mark.parametrize("seed", [1])
def test_a_driver_killed_at_random_moments_ends_in_the_same_bytes(seed, first, web, dump, tmp_path):
    rng, out, kills = random.Random(seed), tmp_path / "out", 0
    for _ in range(2):
        folder = out / rng.choice(["documents", "scores", "groups", "images", "decisions", "shards"])
        with start("made_source", dump, out, rng.choice([1, 2, 3]), web.address[1], pause_s=0.02) as driver:
            wait_for(lambda folder=folder: folder.exists() and any(folder.rglob("*")), driver)
            time.sleep(rng.uniform(0, 0.3))
            kills += driver.poll() is None
            driver.kill()
            driver.stdout.close()
    assert kills >= 1
    with start("made_source", dump, out, 2, web.address[1]) as driver:
        printed = driver.communicate()[0]
    assert driver.returncode == 0, printed
    assert digests(out) == digests(first)
    assert list(out.rglob(".part-*")) == []


def test_workers_killed_in_the_middle_of_a_task_are_replaced(first, web, dump, tmp_path):
    out, killed = tmp_path / "out", 0
    with start("made_source", dump, out, 2, web.address[1], pause_s=0.05) as driver:
        for folder in ("recipe.yaml", "documents", "scores"):
            wait_for(lambda folder=folder: (out / folder).exists() and workers_of(driver.pid), driver)
            for worker in workers_of(driver.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
                killed += 1
        printed = driver.communicate()[0]
    assert killed >= 1
    assert driver.returncode == 0, printed
    assert digests(out) == digests(first)


def test_a_node_that_is_lost_in_the_middle_changes_no_byte(first, web, dump, tmp_path):
    out = tmp_path / "out"
    with start("lost_node", dump, out, web.address[1], pause_s=0.03) as driver:
        printed = driver.communicate()[0]
    assert driver.returncode == 0, printed
    assert "a node is gone" in printed
    assert digests(out) == digests(first)
