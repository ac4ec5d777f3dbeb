"""Commands that ask a finished build, and take from it what must go: why, what-if, verify, diff, purge."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from infimm_data.errors import ConfigError
from infimm_data.files import exists, join, read_bytes
from pipelines.executor import RAY_FLAG, Cluster
from pipelines.layout import Layout
from pipelines.life import DocumentLife, ImageLife, documents_of, skipped_of
from pipelines.passes.decide import BY_RANK, EARLIER_DATASET
from pipelines.passes.verdicts import shown
from pipelines.purge import purge
from pipelines.report import printable, say
from pipelines.report_page.build_page import write_build_page
from pipelines.stored import where_a_build_is
from pipelines.verify import diff, named, verify
from pipelines.what_if import Recount, what_if

SHOWN_OF_A_FETCH = (
    "status", "host", "directive", "told_at", "format", "width", "height", "size_bytes", "sha256",
    "stored_format", "stored_width", "stored_height", "stored_bytes", "stored_sha256",
)  # fmt: skip
MOST_LIVES = 20  # documents that one `why` prints; an image on thousands of pages is named by its first ones


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "tell the life of a page or an image: where it came from, what was measured, why it was kept or dropped"
    why = commands.add_parser("why", help=text, description=text[0].upper() + text[1:] + ".")
    why.add_argument("out", help="folder of the build")
    why.add_argument("what", metavar="URL-or-ID", help="URL of a page or an image, or a document id (6 digits will do)")
    why.set_defaults(run=print_why)

    text = "count again under other thresholds, from the stored measures; writes nothing"
    recount = commands.add_parser("what-if", help=text, description=text[0].upper() + text[1:] + ".")
    recount.add_argument("out", help="folder of the build")
    recount.add_argument(
        "changes", nargs="+", metavar="STEP.KEY=VALUE", help="e.g. text_length.min_words=20, or clip=0.27 for one bound"
    )
    recount.set_defaults(run=print_what_if)

    text = "check that every shard, index and image is what was written"
    check = commands.add_parser("verify", help=text, description=text[0].upper() + text[1:] + ".")
    check.add_argument("out", help="folder of a build, or of shards")
    _add_cluster_flags(check)
    check.set_defaults(run=run_verify)

    text = "take pages and images down: rewrite the shards that hold them, keep them out of every later build"
    takedown = commands.add_parser("purge", help=text, description=text[0].upper() + text[1:] + ".")
    takedown.add_argument("out", help="folder of the build")
    takedown.add_argument("--urls", required=True, metavar="FILE", help="URLs of pages and images, one per line")
    _add_cluster_flags(takedown)
    takedown.set_defaults(run=run_purge)

    text = "compare the shards of two builds, document by document"
    compare = commands.add_parser("diff", help=text, description=text[0].upper() + text[1:] + ".")
    compare.add_argument("first", help="folder of a build, or of shards")
    compare.add_argument("second", help="the other one")
    _add_cluster_flags(compare)
    compare.set_defaults(run=run_diff)


def _add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ray", metavar="ADDRESS", help=RAY_FLAG)
    parser.add_argument("--workers", type=int, metavar="N", help="processes on this machine; default: its cores")


def shards_folder(path: str) -> str:
    """Return the shards of a build, or the folder itself where it holds them; raises ConfigError where neither is."""
    for folder in (Layout(path).shards, path):
        if exists(join(folder, "manifest.json")):
            return folder
    raise ConfigError(f"{path}: no finished shards there; {where_a_build_is(path)}")


def print_why(arguments: argparse.Namespace, console: Console) -> bool:
    """Print the life of every document that was named."""
    layout, count = Layout(arguments.out), 0
    for life in documents_of(layout, arguments.what):
        count += 1
        if count > MOST_LIVES:
            say(console, f"and more: only the first {MOST_LIVES} documents are shown")
            break
        show_life(life, console)
    for skipped in skipped_of(layout, arguments.what):
        count += 1
        detail = f" ({skipped.detail})" if skipped.detail else ""
        say(console, f"no document: {skipped.reason}{detail}; record at {skipped.offset} of work item {skipped.item}")
    if not count:
        raise ConfigError(
            f"{arguments.what}: no page, image or document of {arguments.out} has that name; records that became no "
            "document are named for the first of each reason only (report/funnel.json counts all)"
        )
    return True


def show_life(life: DocumentLife, console: Console) -> None:
    """Print what happened to a document and to its images."""
    origin = life.origin
    say(console, f"{origin['id']} {origin['url']} {origin['date']}", style="bold")
    say(console, f"  from: {origin['dump']} at {origin['offset']} (work item {life.item})")
    say(console, f"  document: {_verdict(life.decision)}")
    if life.place:
        say(console, f"  lies in: {life.place.shard} at byte {life.place.offset}, {life.place.size} bytes")
    say(console, f"  measured: {_measured(life.measures)}", style="dim")
    for image in life.images:
        show_image(image, console)


def show_image(image: ImageLife, console: Console) -> None:
    """Print what happened to one image of a document."""
    say(console, f"  image {image.decision['node']} {image.decision['url']}: {_verdict(image.decision)}", style="cyan")
    if image.fetched:
        facts = {name: image.fetched.get(name) for name in SHOWN_OF_A_FETCH}
        if facts["sha256"] == facts["stored_sha256"]:  # stored as it came: said once
            facts = {name: value for name, value in facts.items() if not name.startswith("stored_")}
        say(console, f"    fetched: {_measured(facts)}", style="dim")
    say(console, f"    measured: {_measured(image.scores)}", style="dim")


def _verdict(decision: Any) -> str:
    if decision["kept"]:
        return "kept"
    if decision["reason"] == "document_dropped":
        return "dropped with its document"
    dropped = f"dropped by step '{decision['step']}' as {decision['reason']}"
    if decision["threshold"].startswith(BY_RANK):
        return f"{dropped}: {decision['value']} stays, by {decision['threshold']}"
    if decision["threshold"] == EARLIER_DATASET:
        return f"{dropped}: {decision['value']} of the {decision['threshold']} stays"
    is_compared = decision["threshold"] and decision["value"] != decision["reason"]  # a fetch status is its own reason
    compared = f": {decision['value']}, threshold {decision['threshold']}" if is_compared else ""
    return f"{dropped}{compared}"


def _measured(values: Any) -> str:
    known = {name: value for name, value in values.items() if value is not None and name != "id"}
    return " ".join(f"{name}={shown(value)}" for name, value in known.items()) or "nothing"


def print_what_if(arguments: argparse.Namespace, console: Console) -> bool:
    """Print the funnel as it is and as it would be."""
    recount = what_if(Layout(arguments.out), arguments.changes)
    show_recount(recount, console)
    return True


def show_recount(recount: Recount, console: Console) -> None:
    """Print both funnels side by side, the rules that differ, and what would be kept."""
    table = Table(title="What if", title_justify="left", box=SIMPLE_HEAD)
    for name in ("step", "reason", "threshold", "would be"):
        table.add_column(name, overflow="fold")
    for name in ("drops", "would drop"):
        table.add_column(name, justify="right")
    now = {(line.step, line.reason): line for line in recount.now.funnel}
    then = {(line.step, line.reason): line for line in recount.then.funnel}
    for key in dict.fromkeys([*now, *then]):
        before, after = now.get(key), then.get(key)
        dropped = [line.dropped if line else 0 for line in (before, after)]
        bounds = [line.threshold if line else "" for line in (before, after)]
        if dropped[0] != dropped[1] or bounds[0] != bounds[1]:
            table.add_row(*(printable(cell) for cell in (*key, *bounds)), *map(str, dropped))
    console.print(table)
    for level in ("documents", "images"):
        kept = [int(getattr(decisions, level).kept.sum()) for decisions in (recount.now, recount.then)]
        say(console, f"{level}: {kept[0]} kept, would be {kept[1]} ({kept[1] - kept[0]:+d})")
    if recount.num_unmeasured:
        say(
            console,
            f"{recount.num_unmeasured} images that are let through here were never fetched or scored and count as "
            "dropped; 'infimm build' with the changed recipe measures them",
        )


def run_verify(arguments: argparse.Namespace, console: Console) -> bool:
    """Check the shards; return whether they are whole."""
    folder = shards_folder(arguments.out)
    with Cluster(address=arguments.ray, workers=arguments.workers) as cluster:
        problems = verify(folder, cluster)
    for problem in problems:
        say(console, problem, style="red")
    say(console, f"{folder}: {len(problems)} problems" if problems else f"{folder}: every shard is what was written")
    return not problems


def run_diff(arguments: argparse.Namespace, console: Console) -> bool:
    """Compare two sets of shards; return whether they hold the same documents with the same bytes."""
    folders = [shards_folder(path) for path in (arguments.first, arguments.second)]
    with Cluster(address=arguments.ray, workers=arguments.workers) as cluster:
        found = diff(folders[0], folders[1], cluster)
    for keys, text in (
        (found.only_first, f"only in {folders[0]}"),
        (found.only_second, f"only in {folders[1]}"),
        (found.changed, "in both, with other bytes"),
    ):
        say(console, f"{len(keys):>8} documents {text}{': ' if keys else ''}{named(keys)}")
    return not (found.only_first or found.only_second or found.changed)


def run_purge(arguments: argparse.Namespace, console: Console) -> bool:
    """Take down what a file lists."""
    try:
        lines = read_bytes(arguments.urls).decode("utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"--urls {arguments.urls}: no such file; expected one URL per line") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--urls {arguments.urls}: not UTF-8; expected one URL per line") from None
    urls = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not urls:
        raise ConfigError(f"--urls {arguments.urls}: holds no URL; expected one per line")
    layout = Layout(arguments.out)
    with Cluster(address=arguments.ray, workers=arguments.workers) as cluster:
        found = purge(layout, urls, cluster, datetime.now(UTC))
    write_build_page(layout)  # it showed some of what is gone
    say(
        console,
        f"{len(urls)} URLs: {len(found.documents)} documents left the shards, {len(found.documents_with_images)} lost "
        f"images, {len(found.shards)} shards rewritten",
    )
    say(console, f"remembered in {layout.purge('urls.txt')}, told in {layout.purge('audit.jsonl')}")
    return True
