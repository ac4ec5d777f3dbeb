"""What the comparisons with peers share: runs that take turns, medians with their range, machine and versions named.

A contender that is measured in a process of its own runs `python SCRIPT --one ...`, ours with this interpreter and a
peer with that of --peer-python, and prints its figures as a line of JSON, the last that it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


class DoesNotRunError(Exception):
    """Why a contender is left out."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add --runs and --peer-python."""
    parser.add_argument("--runs", type=int, default=5, help="of every contender (default 5)")
    parser.add_argument(
        "--peer-python", default=sys.executable, metavar="PYTHON", help="of the environment that holds the peers"
    )


def machine() -> str:
    """Return the processor, its cores, the system and the interpreter, for the first line of a table."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = (
        f"load {os.getloadavg()[0]:.1f}"  # above that of the contender itself the figures are those of a busy machine
    )
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {load} at the start; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that the environment of an interpreter has."""
    if python == sys.executable:
        return installed(packages)
    command = [python, __file__, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"--peer-python {python}: {last_line(done.stderr)}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def installed(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except ImportError:
            continue
    return found


def in_turn(
    contenders: Mapping[str, Callable[[], Found]], runs: int, say: Callable[[str], None] = print
) -> dict[str, list[Found]]:
    """Run each contender once, then each again, `runs` times; one that does not run is said and left out."""
    found: dict[str, list[Found]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name in list(found):
            try:
                found[name].append(contenders[name]())
            except DoesNotRunError as error:
                say(f"{name}: does not run here: {error}")
                del found[name]
    return found


def call(command: Sequence[str], **environment: str) -> dict[str, Any]:
    """Run a process and return the JSON of its last line; raises DoesNotRunError with what it said where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        raise DoesNotRunError(last_line(done.stderr))
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def last_line(text: str) -> str:
    """Return the last line of a process's complaint."""
    return (text.strip().splitlines() or ["it ended without a word"])[-1]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return "median (least to most)"."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def heading(python: str, packages: Sequence[str], runs: int) -> str:
    """Return the lines above a table: machine, versions of ours and of the peers, and how often each ran."""
    named = ", ".join(f"{name} {number}" for name, number in versions(python, packages).items()) or "no peer"
    return f"{machine()}\n{named}; {runs} runs in turn: median (least to most)"


if __name__ == "__main__":
    print(json.dumps(installed(sys.argv[1:])))
