"""Commands that look: at a dataset (report, inspect), at a page (extract), at the machine (doctor)."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from rich.console import Console

from infimm_data.document import Document, ImageNode, to_json
from infimm_data.errors import ConfigError
from infimm_data.files import exists, join, read_bytes
from infimm_data.shards import read_index, read_manifest, read_sample
from pipelines.doctor import NAMES, examine
from pipelines.extract import extract_html
from pipelines.layout import Layout
from pipelines.report import funnel_or_none, say, show_funnel
from pipelines.stored import where_a_build_is


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "print the funnel of a build: what came in, what was dropped by which step and why"
    report = commands.add_parser("report", help=text, description=text[0].upper() + text[1:] + ".")
    report.add_argument("out", help="folder of the build")
    report.set_defaults(run=print_report)

    text = "print documents of finished shards: nodes, scores, pictures as sizes"
    inspect = commands.add_parser("inspect", help=text, description=text[0].upper() + text[1:] + ".")
    inspect.add_argument("out", help="folder of the build")
    inspect.add_argument("--id", help="one document by its id or the start of it; default: the first ones")
    inspect.add_argument("--count", type=int, default=1, help="how many documents (default 1)")
    inspect.set_defaults(run=inspect_documents)

    text = "examine this machine before a build: DNS, file limits, disk, memory, Ray, packages"
    doctor = commands.add_parser("doctor", help=text, description=text[0].upper() + text[1:] + ".")
    doctor.add_argument("--out", default=".", help="where a build would go (default: here)")
    doctor.add_argument("--name", action="append", metavar="HOST", help="a host to look up; may be repeated")
    doctor.add_argument("--no-ray", action="store_true", help="do not start Ray")
    doctor.set_defaults(run=show_examination)

    text = "turn HTML files into interleaved documents, one JSON per line"
    extract = commands.add_parser("extract", help=text, description=text[0].upper() + text[1:] + ".")
    extract.add_argument("files", nargs="+", metavar="FILE", help="HTML files")
    extract.add_argument("--url", required=True, help="the address of the page, for its relative links")
    extract.add_argument(
        "--captions-in-text", action="store_true", help="captions in the text too, as builds have them"
    )
    extract.set_defaults(run=extract_files)


def print_report(arguments: argparse.Namespace, console: Console) -> bool:
    """Print the stored funnel."""
    funnel = funnel_or_none(Layout(arguments.out))
    if funnel is None:
        raise ConfigError(f"{arguments.out}: no report/funnel.json there; {where_a_build_is(arguments.out)}")
    show_funnel(funnel, console)
    return True


def inspect_documents(arguments: argparse.Namespace, console: Console) -> bool:
    """Print documents out of the shards."""
    if arguments.count < 1:
        raise ConfigError(f"--count {arguments.count}: expected 1 or more")
    folder = Layout(arguments.out).shards
    if not exists(join(folder, "manifest.json")):
        raise ConfigError(f"{folder}: no finished shards there; {where_a_build_is(arguments.out)}")
    places = (place for shard in read_manifest(folder) for place in read_index(folder, shard))
    if arguments.id:
        places = (place for place in places if place.key.startswith(arguments.id))
    found = list(itertools.islice(places, arguments.count))
    if arguments.id and not found:
        raise ConfigError(f"--id {arguments.id}: no such document in {folder}; 'infimm inspect' shows the first ones")
    for place in found:
        sample = read_sample(folder, place)
        say(console, f"{place.key} {place.shard} at byte {place.offset}", style="bold")
        show_document(sample.document, {name: len(data) for name, data in sample.files.items()}, console)
    return True


def show_document(document: Document, sizes: dict[str, int], console: Console) -> None:
    """Print a document as a reader would meet it; sizes: bytes of each image file."""
    say(console, f"{document.origin.url} {document.origin.date}", style="dim")
    for node in document.nodes:
        if isinstance(node, ImageNode):
            scores = " ".join(f"{name}={_short(value)}" for name, value in node.scores.items())
            size = f"{node.width}x{node.height} px, {sizes.get(node.file or '', 0)} bytes"
            say(console, f"  <image {size}, {scores}> {node.alt}", style="cyan")
        else:
            say(console, f"{node.role}: {node.text}" if node.role else node.text)
    measures = " ".join(f"{name}={_short(value)}" for name, value in document.measures.items())
    say(console, measures, style="dim")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def extract_files(arguments: argparse.Namespace, console: Console) -> bool:
    """Write the document of each HTML file as one line of JSON; a page without content is said and counted."""
    complete = True
    for path in arguments.files:
        try:
            html = read_bytes(path)
        except (FileNotFoundError, IsADirectoryError):
            raise ConfigError(f"{path}: no such file; expected an HTML page") from None
        document = extract_html(html, arguments.url, captions_in_text=arguments.captions_in_text)
        if document is None:
            say(Console(stderr=True), f"{path}: no content found")
            complete = False
        else:
            console.file.write(to_json(document).decode() + "\n")
    return complete


def show_examination(arguments: argparse.Namespace, console: Console) -> bool:
    """Print what the doctor found; return whether all of it is as it should be."""
    findings = examine(arguments.out, arguments.name or NAMES, start_ray=not arguments.no_ray)
    for finding in findings:
        mark, style = ("ok", "green") if finding.is_good else ("look", "red")
        say(console, f"{mark:<5} {finding.name}: {finding.found}", style=style)
        if not finding.is_good:
            say(console, f"      {finding.remedy}")
    return all(finding.is_good for finding in findings)
