"""InfiMM as a user has it: built as sdist and wheel, installed from the wheel into an environment of its own."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(folder: Path) -> Path:
    """Build the sdist from the repository and the wheel from the sdist; return the wheel."""
    run_clean(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=ROOT)
    (wheel,) = folder.glob("infimm-*.whl")
    assert len(list(folder.glob("infimm-*.tar.gz"))) == 1
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel into a new environment; return its folder of programs.

    What InfiMM depends on is taken from this environment by path, as downloading it again would take minutes. A path in
    a .pth file is searched but its own .pth files are not read, so that the editable InfiMM there is not seen.
    """
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    python = folder / "bin" / "python"
    run_clean(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "bin"


def run_clean(*command: str | Path, cwd: Path) -> str:
    """Run a command that sees nothing of the repository; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
