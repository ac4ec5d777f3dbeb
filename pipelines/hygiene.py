"""What is wrong with the rows and images of a dump, row by row, and what mends it; nothing is built or changed."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infimm_data.document import Document, short_url
from infimm_data.errors import SourceError
from infimm_data.files import open_whole
from infimm_data.image_headers import BadImage
from infimm_data.images import inspect_image
from infimm_data.progress import Track
from pipelines.annotations.fixes import ONLY_FIXED
from pipelines.recipe import Recipe
from pipelines.report import printable, say
from pipelines.sources.contract import Fixed, Skipped, Source, WorkItem

WEB = ("http://", "https://")
_SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".gif": "gif", ".webp": "webp"}
_BY_BYTES = "none is needed: images are read by their bytes, and the shards name them by these"
_LEFT_OUT = "the row is left out of every build; mend it in the file"
_MENDED = "'fix: true' in the recipe mends it"
_FIXED_AWAY = "'fix: true' in the recipe leaves the row out"
_IMAGE = "put a good file in its place; until then the step image_loss drops the row"
_IDS = "none is needed: a document is named by its place in the file"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of one row. row: as the `offset` of its document; id: what the row calls itself."""

    file: str
    row: int
    id: str
    problem: str
    detail: str
    fix: str


def inspect_recipe(recipe: Recipe, out: str, console: Console, *, with_images: bool = True) -> bool:
    """Write every problem of a recipe's dump as one line of JSON to `out`, and print how many of each there are.

    with_images: also read and decode each image that the dump holds; one in the web is not asked for. Returns
    whether every work item could be read.
    """
    items = recipe.source.work_items()
    counts: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    inspection = Inspection(recipe, totals)
    with open_whole(out) as file:
        for item in items:
            for problem in inspection.problems(item, with_images=with_images):
                counts[problem.problem, problem.fix] += 1
                file.write((json.dumps(asdict(problem), ensure_ascii=False) + "\n").encode("utf-8", "replace"))
    _show(counts, totals, console)
    say(console, f"each problem of each row: {out}")
    return not totals["unreadable"]


def _show(counts: Counter[tuple[str, str]], totals: Counter[str], console: Console) -> None:
    table = Table(title="Hygiene", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("problem", no_wrap=True)
    table.add_column("rows", justify="right")
    table.add_column("fix", overflow="fold")
    for (problem, fix), number in sorted(counts.items()):
        table.add_row(Text(printable(problem)), str(number), Text(printable(fix)))
    console.print(table)
    say(console, f"{totals['rows']} rows, {totals['images']} images looked at, {sum(counts.values())} problems")


class Inspection:
    """Looks at work items; remembers the ids that rows call themselves by (8 bytes each). totals: counts as it goes."""

    def __init__(self, recipe: Recipe, totals: Counter[str]) -> None:
        """Look as a build with `fix: true` would, where the source knows how to mend."""
        self._source: Source = recipe.source
        if "fix" in {f.name for f in dataclasses.fields(recipe.source)}:  # type: ignore[arg-type]  # every source is a dataclass
            self._source = dataclasses.replace(recipe.source, fix=True)  # type: ignore[type-var]
        self._max_pixels = recipe.fetch.max_pixels
        self._totals = totals
        self._ids: set[int] = set()

    def problems(self, item: WorkItem, *, with_images: bool) -> Iterator[Problem]:
        """Yield the problems of a file's rows in order, then those of its images."""
        shown: dict[str, list[tuple[int, str]]] = {}
        try:
            for found in self._source.read(item):
                yield from self._of_row(item, found, shown)
        except SourceError as error:
            self._totals["unreadable"] += 1
            yield Problem(item.name, -1, "", "unreadable", str(error), "replace or remove the file")
        if with_images:
            yield from self._of_images(item, shown)

    def _of_row(
        self, item: WorkItem, found: Document | Skipped | Fixed, shown: dict[str, list[tuple[int, str]]]
    ) -> Iterator[Problem]:
        if isinstance(found, Document):
            self._totals["rows"] += 1
            row, name = found.origin.offset, found.origin.url
            for url in dict.fromkeys(node.url for node in found.images):
                shown.setdefault(url, []).append((row, name))
            if name and self._is_known(name):
                yield Problem(item.name, row, name, "repeated_id", "an earlier row has the same id", _IDS)
        else:
            self._totals["rows"] += isinstance(found, Skipped)
            fix = _MENDED if isinstance(found, Fixed) else _FIXED_AWAY if found.reason in ONLY_FIXED else _LEFT_OUT
            yield Problem(item.name, found.offset, found.url, found.reason, found.detail, fix)

    def _is_known(self, name: str) -> bool:
        number = hash(name)
        is_known = number in self._ids
        self._ids.add(number)
        return is_known

    def _of_images(self, item: WorkItem, shown: dict[str, list[tuple[int, str]]]) -> Iterator[Problem]:
        left = {url for url in shown if not url.startswith(WEB)}
        with Track(f"images of {item.name}", len(left), unit="images") as track:
            for url, data in self._source.images(item, sorted(left)):
                left.discard(url)
                self._totals["images"] += 1
                problem, detail, fix = self._of_image(url, data)
                for row, name in shown[url] if problem else ():
                    yield Problem(item.name, row, name, problem, f"{short_url(url)}: {detail}", fix)
                track.advance()
        for url in sorted(left):
            for row, name in shown[url]:
                yield Problem(item.name, row, name, "missing_file", short_url(url), _IMAGE)

    def _of_image(self, url: str, data: bytes) -> tuple[str, str, str]:
        """Return problem, detail and fix of one image; ("", "", "") where it is good."""
        try:
            facts = inspect_image(data, max_pixels=self._max_pixels)
        except BadImage as bad:
            return bad.reason, str(bad), _IMAGE
        suffix = posixpath.splitext(url)[1].lower()
        if _SUFFIXES.get(suffix, facts.format) != facts.format:
            return "other_format", f"a {facts.format} named {suffix}", _BY_BYTES
        return "", "", ""
