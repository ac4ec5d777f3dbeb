"""Commands that look: at a dataset or a training run (report), at a page (extract), at the machine (doctor)."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from infimm_data.document import to_json
from infimm_data.errors import ConfigError
from infimm_data.files import read_bytes
from pipelines.doctor import NAMES, examine
from pipelines.extract import extract_html
from pipelines.layout import Layout
from pipelines.report import funnel_or_none, say, show_funnel
from pipelines.report_page.build_page import write_build_page
from pipelines.report_page.training_page import is_training, write_training_page
from pipelines.stored import where_a_build_is


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "print the funnel of a build and write its page anew, or the page of a training run: report/index.html"
    report = commands.add_parser("report", help=text, description=text[0].upper() + text[1:] + ".")
    report.add_argument("out", help="folder of a build, or of a training run")
    report.set_defaults(run=print_report)

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
    """Print the stored funnel and write the page."""
    if is_training(arguments.out):
        say(console, f"look at: {write_training_page(arguments.out)}")
        return True
    funnel = funnel_or_none(Layout(arguments.out))
    if funnel is None:
        raise ConfigError(f"{arguments.out}: no report/funnel.json there; {where_a_build_is(arguments.out)}")
    show_funnel(funnel, console)
    say(console, f"look at: {write_build_page(Layout(arguments.out))}")
    return True


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
