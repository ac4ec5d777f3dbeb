"""The tutorial's commands, run in their order, say what the page says that they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```console\n(.*?)```", re.S)


def told(page: str) -> list[tuple[str, list[str]]]:
    """Return each command of a page with the lines that stand under it."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(BLOCK.findall(page)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line.strip())
    return found


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_works_as_told(tmp_path):
    commands = told((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert len(commands) > 8
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for command, lines in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        for line in lines:
            assert line in done.stdout, f"{command} does not say '{line}':\n{done.stdout[-2000:]}"
    for page in ("tutorial", "model"):
        assert (tmp_path / "runs" / page / "report" / "index.html").is_file()
    assert (tmp_path / "runs" / "row.png").read_bytes()[:4] == b"\x89PNG"
