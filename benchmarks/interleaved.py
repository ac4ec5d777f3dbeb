"""Reading interleaved shards, filtering their images, writing shards: our build beside NeMo Curator's stages.

    python benchmarks/interleaved.py [--documents 1000] [--runs 5] [--peer-python PYTHON]

The same tars for all, in the layout that both read: KEY.json with `texts` and `images`, and the JPEGs (640 x 480, three
a document) as members. The same rule: images longer than twice their short side go, an eighth of all; NeMo Curator's
own default would drop portraits too. All must keep the same number of documents and images. `wall` is the whole
process; `steady` what each says of its own run, Ray started before it: NeMo's pipeline.run(), our passes (on Ray our
first pass holds Ray's start). `start`: of one document, from the start of the process to the first shard in its place.

`header` does what NeMo Curator does: it looks at the head of every image; `pixels` is our default, which decodes every
image to the end and takes a perceptual hash. Both store sums and measures and check them, which NeMo Curator does not.
The peer: a virtual environment with pip install 'torch==2.13.0' pillow nemo-curator (its Ray Data executor on the CPU).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alternating import DoesNotRunError, add_flags, heading, in_turn, last_line, spread

CPUS = 2
IMAGES = 3  # of a document
MAX_ASPECT = 2.0
RECIPE = """
source: {{kind: mint1t, path: {path}}}
fetch: {{check: {check}}}
steps:
- {{filter: image_size, max_aspect: {aspect}}}
output: {{documents_per_shard: 250}}
"""
OURS = {  # how images are looked at, and what stands behind the command
    "ours, header": ("header", ["--ray", "off"]),
    "ours, pixels": ("pixels", ["--ray", "off"]),
    "ours, header, on Ray": ("header", []),
}
NEMO = "NeMo Curator, Ray Data"


@dataclass(frozen=True)
class Measured:
    """One run: seconds of the process, of its own run, to the first shard; what it kept."""

    wall_s: float
    steady_s: float
    first_s: float
    documents: int
    images: int


def make_input(folder: Path, documents: int, per_tar: int = 250) -> None:
    """Write tars of documents whose pictures compress about as photos do; every eighth picture is a banner."""
    import numpy as np
    from PIL import Image

    pictures = []
    for seed in range(64):
        rng = np.random.default_rng(seed)
        width, height = (1000, 300) if seed % 8 == 7 else (480, 640) if seed % 8 == 3 else (640, 480)
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 13, (height, width, 3))
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    folder.mkdir()
    for start in range(0, documents, per_tar):
        with tarfile.open(folder / f"{start // per_tar:05d}.tar", "w") as tar:
            for number in range(start, min(start + per_tar, documents)):
                key, texts, images = f"document{number:06d}", [], []
                for place in range(IMAGES):
                    texts += [f"Part {place} of document {number}. " + "It goes on in words. " * 20, None]
                    images += [None, f"{key}.{2 * place + 1}.jpg"]
                    _add(tar, images[-1], pictures[(number * IMAGES + place) % len(pictures)])
                record = {"texts": texts, "images": images, "url": f"http://made.example/{number}"}
                _add(tar, f"{key}.json", json.dumps(record).encode())


def _add(tar: tarfile.TarFile, name: str | None, data: bytes) -> None:
    info = tarfile.TarInfo(str(name))
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def run_nemo(source: str, out: str) -> None:
    """Run NeMo Curator's reader, aspect filter and writer; print the seconds of its pipeline as JSON."""
    import ray
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.interleaved.io import InterleavedWebdatasetReader, InterleavedWebdatasetWriterStage
    from nemo_curator.stages.interleaved.stages import InterleavedAspectRatioFilterStage

    ray.init(address="local", num_cpus=CPUS, include_dashboard=False)  # else it would join any Ray of this machine
    start = time.perf_counter()
    pipeline = Pipeline(name="interleaved")
    pipeline.add_stage(InterleavedWebdatasetReader(file_paths=source))
    pipeline.add_stage(InterleavedAspectRatioFilterStage(min_aspect_ratio=1 / MAX_ASPECT, max_aspect_ratio=MAX_ASPECT))
    pipeline.add_stage(InterleavedWebdatasetWriterStage(path=out))
    pipeline.run(RayDataExecutor())
    seconds = time.perf_counter() - start
    ray.shutdown()
    print(json.dumps({"steady_s": seconds}))


def timed(command: list[str], shards: str) -> tuple[float, float, str]:
    """Run a process; return its seconds, those to the first tar in the folder `shards`, and what it printed."""
    environment = {**os.environ, "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"}  # NeMo Curator calls `ray`
    start, first = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        while process.poll() is None:
            if not first and any(path.stat().st_size for path in Path(shards).glob("*.tar")):
                first = time.perf_counter() - start
            time.sleep(0.002)
        wall = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise DoesNotRunError(last_line(errors.read()))
        return wall, first or wall, output.read()


def kept(shards: str) -> tuple[int, int]:
    """Return how many documents and images lie in the tars of a folder."""
    names: list[str] = []
    for path in Path(shards).glob("*.tar"):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    documents = sum(name.endswith(".json") for name in names)
    return documents, len(names) - documents


def ours(source: str, check: str, flags: list[str]) -> Measured:
    """Measure `infimm build`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "recipe.yaml").write_text(RECIPE.format(path=source, check=check, aspect=MAX_ASPECT))
        command = [sys.executable, "-m", "pipelines.cli", "build", f"{folder}/recipe.yaml", "--out", f"{folder}/out"]
        wall, first, _ = timed([*command, "--workers", str(CPUS), *flags], f"{folder}/out/shards")
        passes = json.loads(Path(folder, "out/report/passes.json").read_text())
        return Measured(wall, sum(one["seconds"] for one in passes), first, *kept(f"{folder}/out/shards"))


def nemo(source: str, python: str) -> Measured:
    """Measure NeMo Curator."""
    with tempfile.TemporaryDirectory() as folder:
        wall, first, said = timed([python, __file__, "--one", source, f"{folder}/out"], f"{folder}/out")
        steady = json.loads(said.strip().splitlines()[-1])["steady_s"]
        return Measured(wall, steady, first, *kept(f"{folder}/out"))


def contenders(source: str, python: str) -> dict[str, Callable[[], Measured]]:
    """Return who is measured, each on the tars of a folder."""
    found: dict[str, Callable[[], Measured]] = {
        name: partial(ours, source, check, flags) for name, (check, flags) in OURS.items()
    }
    return {**found, NEMO: partial(nemo, source, python)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    add_flags(parser)
    parser.add_argument("--one", nargs=2, metavar=("SOURCE", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_nemo(*arguments.one)
        return
    print(heading(arguments.peer_python, ["nemo-curator", "ray"], arguments.runs))
    with tempfile.TemporaryDirectory() as folder:
        make_input(Path(folder, "many"), arguments.documents)
        make_input(Path(folder, "one"), 1)
        many = in_turn(contenders(f"{folder}/many", arguments.peer_python), arguments.runs)
        one = in_turn(contenders(f"{folder}/one", arguments.peer_python), arguments.runs)
    outcomes = {(run.documents, run.images) for runs in many.values() for run in runs}
    assert len(outcomes) == 1, f"not all keep the same: {outcomes}"
    print(f"{arguments.documents} documents with {arguments.documents * IMAGES} images; kept {outcomes.pop()}")
    for name, runs in many.items():
        wall, steady = ([arguments.documents / getattr(run, kind) for run in runs] for kind in ("wall_s", "steady_s"))
        print(f"{name:<24} documents/s: steady {spread(steady)}, wall {spread(wall)}", end="; ")
        print(f"start {spread([run.first_s for run in one[name]], 2)} s")


if __name__ == "__main__":
    main()
