"""Whatever is killed and whenever: the result is byte for byte that of the undisturbed build."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infimm_data.shards import read_manifest
from tests.pipelines.made_source import HUNGRY, PAUSE

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(180)


def start(module, *arguments, pause_s=0.0, hungry="/nowhere", before=()):
    """Start a process that builds; before: a command that runs it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PAUSE: str(pause_s), HUNGRY: str(hungry)}
    command = [*before, sys.executable, "-m", f"tests.pipelines.{module}", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(dump, out, web, **environment):
    """Build to the end; return the status and what was printed."""
    with start("made_source", dump, out, 2, web.address[1], **environment) as driver:
        printed = driver.communicate()[0]
    return driver.returncode, printed


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
        if above == pid and names[process].startswith((b"ray::attempt", b"ray::Holder")):  # not Ray's own agents
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
    status, printed = finish(dump, out, web)
    assert status == 0, printed
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


FULL = """
set -e
mount -t tmpfs -o size=$1 infimm $2
shift 2
"$@" || echo "status $?"
out=$5
mount -o remount,size=64m $(dirname $out)
find $out -name '.part-*' | wc -l
"$@"
cp -r $out $(dirname $(dirname $out))/kept
"""


def test_a_full_disk_stops_the_run_in_one_line_and_costs_no_byte(first, web, dump, tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here, in which a test may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    before = ("unshare", "-rm", "sh", "-c", FULL, "sh", "60k", disk)
    status, printed = finish(dump, disk / "out", web, before=before)
    assert status == 0, printed
    assert "full: " in printed
    assert "No space left on device; free some space and run the same command again" in printed
    assert "Traceback" not in printed
    assert printed.index("status 1") < printed.index("\n0\n")  # nothing half-written is left
    assert digests(tmp_path / "kept") == digests(first)


def test_a_truncated_file_and_a_worker_out_of_memory_cost_their_items_until_both_are_mended(first, web, dump, tmp_path):
    copy, hungry = Path(shutil.copytree(dump, tmp_path / "dump")), tmp_path / "hungry"
    whole = (copy / "2.json").read_bytes()
    (copy / "2.json").write_bytes(whole[: len(whole) // 2])
    hungry.touch()
    status, printed = finish(copy, tmp_path / "out", web, hungry=hungry)
    assert status == 1
    assert "1.json: MemoryError" in printed
    assert "2.json: not JSON" in printed
    hungry.unlink()
    (copy / "2.json").write_bytes(whole)
    status, printed = finish(copy, tmp_path / "out", web)
    assert status == 0, printed
    assert digests(tmp_path / "out") == digests(first)
