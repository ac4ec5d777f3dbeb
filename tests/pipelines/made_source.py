"""A small hand-made source, a filter that scores, and a driver that builds from them in a process of its own.

python -m tests.pipelines.made_source SOURCE OUT WORKERS
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from filters.clip_assignment import ClipAssignment
from filters.exact_duplicate_text import ExactDuplicateText
from filters.image_count import ImageCount
from filters.image_duplicate import ImageDuplicate
from filters.image_size import ImageSize
from filters.image_url import ImageUrl
from filters.near_duplicate_text import NearDuplicateText
from filters.text_length import TextLength
from infimm_data.document import Document, ImageNode, Measure, Origin, TextNode, new_document
from infimm_data.errors import NoSpaceError, SourceError
from infimm_data.rules import AtLeast, Level, Rule
from pipelines.build import build
from pipelines.executor import Cluster
from pipelines.fetch_settings import FetchSettings
from pipelines.layout import Layout
from pipelines.recipe import OutputSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.contract import Skipped, WorkItem

WEB = "pictures.example"
PAUSE = "INFIMM_TEST_PAUSE_S"  # seconds of rest per document, so that a test can interrupt
HUNGRY = "INFIMM_TEST_HUNGRY"  # a file: while it stands, the second item asks for more memory than its worker may have


@dataclass(frozen=True, kw_only=True)
class MadeSource:
    """path: a folder of JSON files, each a list of pages {url, nodes: [text or {image: URL}]}."""

    path: str

    def work_items(self) -> list[WorkItem]:
        found = sorted(Path(self.path).glob("*.json"))
        return [
            WorkItem(index=n, name=file.name, path=str(file), size_bytes=file.stat().st_size)
            for n, file in enumerate(found)
        ]

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        try:
            pages = json.loads(Path(item.path).read_text())
        except ValueError as error:
            raise SourceError(f"{item.name}: not JSON ({error})") from None
        for offset, page in enumerate(pages):
            if item.index == 1 and Path(os.environ.get(HUNGRY, "/nowhere")).exists():
                eat()
            time.sleep(float(os.environ.get(PAUSE, "0")))
            if not page["nodes"]:
                yield Skipped(reason="no_content", offset=offset, url=page["url"])
                continue
            nodes = [
                TextNode(text=node) if isinstance(node, str) else ImageNode(url=node["image"]) for node in page["nodes"]
            ]
            yield new_document(tuple(nodes), Origin(dump=item.name, offset=page.get("offset", offset), url=page["url"]))

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for url in urls:
            if url.endswith(".png"):
                time.sleep(float(os.environ.get(PAUSE, "0")))
                yield url, draw(url)


def eat() -> None:
    """Ask for more memory than this process may have from now on; the limit goes when it was refused."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (int(Path("/proc/self/statm").read_text().split()[0]) * 4096 + 2**26, before[1])
    )
    try:
        bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def key_of(name: str) -> str:
    """Return how the files of a work item of this name are called."""
    return WorkItem(index=0, name=name, path="", size_bytes=0).key


def draw(url: str) -> bytes:
    """Return a PNG of noise that depends on the URL; its side in pixels is the number before `.png`."""
    side = int(url.removesuffix(".png").rpartition("-")[2])
    seed = int.from_bytes(hashlib.sha256(url.encode()).digest()[:4], "big")
    brightest = 100 if seed % 4 == 0 else 255  # every fourth is dark
    blocks = np.random.default_rng(seed).integers(0, brightest, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Scores the mean grey of an image, 0..1; stands in for a model over image-text pairs."""

    level: ClassVar[Level] = "image"
    min_brightness: float | None = 0.4

    def texts_for(self, document: Document, node: int) -> tuple[str, ...]:
        return tuple(text.text for text in document.texts)

    def load(self, device: str) -> Brightness:
        return self

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Measure]]:
        return [
            {"brightness": float(np.asarray(Image.open(io.BytesIO(data)).convert("L")).mean() / 255)} for data in images
        ]

    def rules(self) -> tuple[Rule, ...]:
        return () if self.min_brightness is None else (AtLeast("brightness", self.min_brightness, "image_dark"),)


@dataclass(frozen=True, kw_only=True)
class MadeAssignment(ClipAssignment):
    """Assigns by made similarities: a number in an image's name names the sentence that it fits best."""

    def load(self, device: str) -> MadeAssignment:
        return self

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, object]]:
        found = []
        for data, own in zip(images, texts, strict=True):
            wide = Image.open(io.BytesIO(data)).width
            row = np.array([0.9 if f"side {wide}" in text else 0.1 for text in own], dtype="<f4")
            found.append({"sentence_score": float(row.max(initial=0)), "similarities": row.tobytes() if own else None})
        return found


STEPS = (
    Step("text_length", TextLength(min_words=10, max_words=None)),
    Step("exact_duplicate_text", ExactDuplicateText()),
    Step("near_duplicate_text", NearDuplicateText()),
    Step("image_url", ImageUrl()),
    Step("image_size", ImageSize(min_side=16)),
    Step("image_duplicate", ImageDuplicate()),
    Step("brightness", Brightness()),
    Step("image_count", ImageCount(min_images=1)),
)


def write_dump(folder: Path, files: int = 3, pages: int = 8) -> str:
    """Write a dump that each step finds something in; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        found = [make_page(number, page) for page in range(pages)]
        found.append({"url": f"https://site{number}.example/empty", "nodes": []})
        (folder / f"{number}.json").write_text(json.dumps(found))
    return str(folder)


def make_page(number: int, page: int):
    name = f"{number}/{page}"
    draw_words = np.random.default_rng(100 * number + page)
    words = " ".join(f"w{n}" for n in draw_words.integers(0, 10_000, 3 if page == 1 else 40))
    if page == 2:
        words = " ".join(f"s{n}" for n in range(150))  # nearly the same page in every file
    side = 8 if page == 3 else 24 + page
    images = [{"image": f"https://site{number}.example/{page}-{n}-{side}.png"} for n in range(page % 4)]
    if page == 4:
        images = [
            {"image": f"http://{WEB}/ok"},
            {"image": f"http://{WEB}/absent"},
            {"image": "https://a.example/logo.png"},
        ]
    if page == 6:
        images.append({"image": "https://everywhere.example/same-40.png"})
    return {"url": f"https://site{number}.example/{page}", "nodes": [f"{words} {name}", *images, f"end of {name}"]}


def make_recipe(path: str, steps=STEPS, documents_per_shard=4) -> Recipe:
    fetch = FetchSettings(timeout_s=5, allow_private_hosts=(WEB,), backoff_s=0.01)
    return Recipe(
        "made.yaml",
        "made",
        MadeSource(path=path),
        tuple(steps),
        fetch,
        OutputSettings(documents_per_shard=documents_per_shard),
    )


def with_step(name: str, filter_) -> tuple[Step, ...]:
    """Return STEPS with one filter replaced."""
    assert name in [step.name for step in STEPS]
    return tuple(replace(step, filter=filter_) if step.name == name else step for step in STEPS)


def main(source: str, out: str, workers: int, port: int) -> None:
    with Cluster(workers=workers) as cluster:
        run = Run(make_recipe(source), Layout(out), cluster, {WEB: ("127.0.0.1", port)})
        try:
            build(run)
        except NoSpaceError as error:
            sys.exit(f"full: {error}")
        failures = [failure for report in run.reports for failure in report.failures]
        if failures:
            sys.exit("\n".join(f"{failure.name}: {failure.problem}" for failure in failures))


if __name__ == "__main__":
    # Under `-m` this module is `__main__`, which workers could not import: run it under its own name.
    from tests.pipelines.made_source import main as named_main

    named_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
