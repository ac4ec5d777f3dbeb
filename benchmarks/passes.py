"""What every pass of a build costs: core seconds per million documents and images, and the bytes that it leaves.

    python benchmarks/passes.py RECIPE [--workers 2] [--connect-to HOST=ADDRESS:PORT]

Builds the recipe anew in a folder of its own and divides what was measured. Core seconds are the wall time of a pass
times its workers, so an idle worker counts; a first item on Ray counts its start as well, so that small dumps tell too
much. No peer: nobody else has these passes. docs/scale.md is made of its figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from pipelines.cli import main as infimm

FOLDERS = {
    "extract": "documents", "measure": "scores/documents", "dedup": "groups", "fetch": "images",
    "decide": "decisions", "pack": "shards",
}  # fmt: skip


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Build, and print a line per pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connect-to", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        flags = [f"--connect-to={one}" for one in arguments.connect_to]
        infimm(["build", arguments.recipe, "--out", str(out), "--workers", str(arguments.workers), *flags])
        funnel = json.loads((out / "report" / "funnel.json").read_text())
        documents, images = funnel["documents"]["in"], funnel["images"]["in"]
        print(f"{documents:,} documents, {images:,} images in; {funnel['shards']['documents']:,} documents kept")
        print("pass                 core s per million documents   per million images   bytes left")
        for entry in json.loads((out / "report" / "passes.json").read_text()):
            name, cores = entry["pass"], entry["seconds"] * arguments.workers
            left = size_of(out / FOLDERS[name]) if name in FOLDERS else 0
            per_image = cores / max(images, 1) * 1e6
            print(f"{name:22} {cores / max(documents, 1) * 1e6:26,.0f} {per_image:20,.0f} {left:12,}")


if __name__ == "__main__":
    main()
