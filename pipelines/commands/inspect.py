"""The command that prints documents as a reader would meet them: inspect, of a build or of shards alone."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from infimm_data.document import Document, ImageNode, short_url
from infimm_data.errors import ConfigError
from infimm_data.files import exists
from infimm_data.shards import SampleLocation, read_index, read_manifest, read_sample
from infimm_data.tables import read_documents
from pipelines.commands.ledger import shards_folder
from pipelines.layout import Layout
from pipelines.life import documents_of
from pipelines.report import say

ID_DIGITS = 6  # from which the start of an id is looked up among all documents, dropped ones too, as `why` does


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    text = "print documents: nodes, scores, pictures as sizes; of a build (dropped ones too) or of shards alone"
    inspect = commands.add_parser("inspect", help=text, description=text[0].upper() + text[1:] + ".")
    inspect.add_argument("out", help="folder of a build, or of shards")
    inspect.add_argument("--id", help="documents by their id or the start of it; default: the first ones")
    inspect.add_argument("--url", help="documents by the URL of the page, or of an image on it")
    inspect.add_argument("--count", type=int, default=1, help="how many documents (default 1)")
    inspect.set_defaults(run=inspect_documents)


@dataclass(frozen=True)
class _Found:
    """A document to print: where it lies, and how many bytes each image file has."""

    place: str
    document: Document
    sizes: dict[str, int]


def inspect_documents(arguments: argparse.Namespace, console: Console) -> bool:
    """Print documents out of the shards, and those that were dropped where one is asked for by name."""
    if arguments.count < 1:
        raise ConfigError(f"--count {arguments.count}: expected 1 or more")
    if arguments.id and arguments.url:
        raise ConfigError("--id and --url: give one of both")
    found = list(itertools.islice(_asked(arguments.out, arguments.id, arguments.url), arguments.count))
    asked = next((f"--{name} {value}" for name in ("id", "url") if (value := getattr(arguments, name))), "")
    if asked and not found:
        where = "" if exists(Layout(arguments.out).recipe) else "; dropped documents are known to the build alone"
        raise ConfigError(f"{asked}: no such document in {arguments.out}{where}; 'infimm inspect' shows the first ones")
    if not found:
        say(console, f"{arguments.out}: no document was kept; 'infimm why' and --id tell of dropped ones")
    for one in found:
        say(console, f"{one.document.id} {one.place}", style="bold")
        show_document(one.document, one.sizes, console)
    return True


def _asked(out: str, key: str | None, url: str | None) -> Iterator[_Found]:
    """Yield what is asked for: packed documents as they were packed, others as they were extracted."""
    is_exact = url or len(key or "") >= ID_DIGITS
    if is_exact and exists(Layout(out).recipe):
        layout = Layout(out)
        for life in documents_of(layout, key or url or ""):
            if life.place:
                yield _packed(layout.shards, life.place)
            elif life.decision["reason"] == "purged":
                say(Console(stderr=True), f"{life.origin['id']}: taken down, and shown no more")
            else:
                why = f"not in the shards: {life.decision['reason'] or 'not packed'}; 'infimm why' tells its life"
                same = (one for one in read_documents(layout.documents(life.item)) if one.id == life.origin["id"])
                yield from (_Found(why, document, {}) for document in same)
        return
    folder = shards_folder(out)
    places = (place for shard in read_manifest(folder) for place in read_index(folder, shard))
    for place in places:
        if key and not place.key.startswith(key):
            continue
        one = _packed(folder, place)
        if url is None or url in (one.document.origin.url, *(node.url for node in one.document.images)):
            yield one


def _packed(folder: str, place: SampleLocation) -> _Found:
    sample = read_sample(folder, place)
    sizes = {name: len(data) for name, data in sample.files.items()}
    return _Found(f"{place.shard} at byte {place.offset}", sample.document, sizes)


def show_document(document: Document, sizes: dict[str, int], console: Console) -> None:
    """Print a document as a reader would meet it; sizes: bytes of each image file."""
    say(console, f"{document.origin.url} {document.origin.date}", style="dim")
    for node in document.nodes:
        if isinstance(node, ImageNode):
            say(console, f"  <image {_image(node, sizes)}> {node.alt}", style="cyan")
        else:
            say(console, f"{node.role}: {node.text}" if node.role else node.text)
    say(console, _scores(document.measures), style="dim")


def _image(node: ImageNode, sizes: dict[str, int]) -> str:
    """Return a picture as its size, and its scores; without a file, where it is."""
    pixels = f"{node.width}x{node.height} px" if node.width and node.height else "? px"
    size = f"{sizes[node.file]} bytes" if node.file in sizes else short_url(node.url)
    return ", ".join(part for part in (f"{pixels}, {size}", _scores(node.scores)) if part)


def _scores(measured: Any) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in measured.items())


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() else f"{value:.3g}"  # counts are stored as floats
