"""Commands that build a dataset: build, and each of its passes by name."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from infimm_data.errors import ConfigError
from infimm_data.rules import DUMP_PREFIX
from pipelines.build import Pass, build
from pipelines.executor import RAY_FLAG, Cluster
from pipelines.http_session import ConnectTo
from pipelines.layout import Layout
from pipelines.passes.crawl import outcomes
from pipelines.preview import preview
from pipelines.recipe import Recipe, load_recipe
from pipelines.report import funnel_or_none, say, show_funnel
from pipelines.report_page.build_page import write_build_page
from pipelines.run import Run
from pipelines.sources.contract import Preview
from pipelines.sources.live_crawl import LiveCrawl

PASSES: dict[str, tuple[Pass, str]] = {
    "build": ("pack", "build shards from a dump: all passes, finished work is not done again"),
    "crawl": ("crawl", "fetch the pages of a live_crawl recipe into WARC files below OUT/crawl"),
    "dedup": ("dedup", "as build, but only as far as the groups of near-identical documents"),
    "fetch": ("fetch", "as build, but only as far as the images"),
    "score": ("score", "as build, but only as far as the model scores"),
    "decide": ("decide", "as build, but write no shards: with all measures stored it only decides again, in seconds"),
    "pack": ("pack", "the same as build, under the name of its last pass"),
}

SHOWN_ITEMS = 20  # work items that a dry run names; a crawl has 90,000


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    for name, (until, text) in PASSES.items():
        parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        parser.add_argument("recipe", help="YAML recipe, see configs/build/")
        parser.add_argument("--out", required=True, help="folder of the build, local or an fsspec URL")
        parser.add_argument("--ray", metavar="ADDRESS", help=RAY_FLAG)
        parser.add_argument("--workers", type=int, metavar="N", help="processes on this machine; default: its cores")
        parser.add_argument("--dry-run", action="store_true", help="list work items and columns, estimate, stop")
        parser.add_argument(
            "--connect-to", action="append", default=[], metavar="HOST=ADDRESS:PORT",
            help="reach HOST there instead (as curl does), e.g. a local mirror; private only if the recipe allows it",
        )  # fmt: skip
        parser.add_argument(
            "--retry-failed", action="store_true", help="fetch again the images that failed in a way that may pass"
        )
        parser.set_defaults(run=run_passes, until=until)


def run_passes(arguments: argparse.Namespace, console: Console) -> bool:
    """Run the passes that a command names; return whether every work item succeeded."""
    recipe = load_recipe(arguments.recipe)
    connect_to = parse_connect_to(arguments.connect_to)
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers {arguments.workers}: expected 1 or more")
    if arguments.dry_run:
        show_work_items(recipe, console)
        return True
    if arguments.until == "crawl" and not isinstance(recipe.source, LiveCrawl):
        raise ConfigError(f"{arguments.recipe}: the source is '{recipe.source_kind}'; expected kind: live_crawl")
    with Cluster(address=arguments.ray, workers=arguments.workers) as cluster:
        run = Run(recipe, Layout(arguments.out), cluster, connect_to, retry_failed=arguments.retry_failed)
        build(run, arguments.until)
    if isinstance(recipe.source, LiveCrawl):
        show_crawl(outcomes(run.layout, recipe.source.parts), console)
    page = write_build_page(run.layout) if run.is_decided else None
    show_result(run, console, page)
    return not run.failed


def show_work_items(recipe: Recipe, console: Console) -> None:
    """Print what a build would read and do, without doing it: work items, columns, an estimate of what they hold."""
    items = recipe.source.work_items()
    for item in items[:SHOWN_ITEMS]:
        size = human_bytes(item.size_bytes) if item.size_bytes else "size unknown"
        say(console, f"{item.index:>5}  {size:>12}  {item.name}")
    if len(items) > SHOWN_ITEMS:
        say(console, f"  ...  and {len(items) - SHOWN_ITEMS:,} more")
    found = preview(recipe.source, items)
    total = sum(item.size_bytes for item in items) if found.size_bytes is None else found.size_bytes
    read = f"{human_bytes(total)} to read" if total else "of unknown size"
    say(console, f"{len(items):,} work items, {read}")
    if found.columns:
        say(console, f"columns: {', '.join(found.columns)}")
    say(console, f"steps: {' -> '.join(step.name for step in recipe.steps) or 'none'}")
    say(console, f"before any step: {_estimate(found)} ({found.how})")
    if found.skipped:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in found.skipped.items())
        say(console, f"records of the sample that become no document: {reasons}")
    if found.skipped and found.num_documents == 0:
        say(console, "no record of the sample becomes a document: do kind and columns fit the dump?", style="red")
    for step, measure in _unmeasured(recipe, found):
        say(console, f"step {step} asks for '{measure}', which the dump does not have; a build would stop", style="red")
    say(console, "nothing was written; the same command without --dry-run builds")


def _unmeasured(recipe: Recipe, found: Preview) -> Iterator[tuple[str, str]]:
    """Yield (step, name) of what rules ask of the dump itself and nothing in the sample has."""
    if found.measures is None:
        return
    for step in recipe.steps:
        for rule in step.filter.rules():
            name = rule.measure.removeprefix(DUMP_PREFIX)
            if name != rule.measure and name not in found.measures and not getattr(rule, "or_unknown", False):
                yield step.name, name


def _estimate(found: Preview) -> str:
    documents, images = (
        f"{'an unknown number of' if number is None else f'about {number:,}'} {what}"
        for number, what in ((found.num_documents, "documents"), (found.num_images, "images"))
    )
    if found.seconds is None:
        return f"{documents}, {images}, the time is not known"
    return f"{documents}, {images}, {human_seconds(found.seconds)} to extract on one core"


def human_bytes(size: int) -> str:
    """Return a size with the largest unit (1000 of one are one of the next) of which it has at least one."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def show_crawl(found: Mapping[str, Counter[str]], console: Console) -> None:
    """Print how the visits of a live crawl came out."""
    for kind, counts in sorted(found.items()):
        listed = ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())
        say(console, f"crawled ({kind}): {listed}")


def show_result(run: Run, console: Console, page: str | None) -> None:
    """Print the funnel, what each pass took, which work items failed, and where to look; page: the report's."""
    funnel = funnel_or_none(run.layout) if run.is_decided else None
    if funnel:
        show_funnel(funnel, console)
    times = ", ".join(f"{report.name} {report.seconds:.1f} s" for report in run.reports)
    say(console, f"passes: {times}")
    for report in run.reports:
        for failure in report.failures:
            problem = failure.problem.partition("\n")[0]
            say(console, f"failed in {report.name}: {failure.name}: {problem}", style="red")
    say(console, f"look at: {page or run.layout.out}")


def parse_connect_to(entries: list[str]) -> ConnectTo:
    """Return HOST=ADDRESS:PORT entries as a mapping; raises ConfigError when one is not of that form."""
    found = {}
    for entry in entries:
        host, _, target = entry.partition("=")
        address, _, port = target.rpartition(":")
        if not host or not address or not port.isdigit():
            raise ConfigError(f"--connect-to {entry}: expected HOST=ADDRESS:PORT, e.g. pictures.example=127.0.0.1:8080")
        found[host] = (address, int(port))
    return found
