"""The command that walks the whole road on the project's own small web: demo."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "build the project's own small web into shards, train a small InfiMM on them, show what it learnt"
    parser = commands.add_parser("demo", help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--out", default="runs/demo", help="folder for all of it (default runs/demo)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes for the build; default: the cores")
    parser.set_defaults(run=run_demo)


def run_demo(arguments: argparse.Namespace, console: Console) -> bool:
    """Tell the story; return whether every work item succeeded."""
    from pipelines.demo.story import tell

    return tell(arguments.out, console, workers=arguments.workers)
