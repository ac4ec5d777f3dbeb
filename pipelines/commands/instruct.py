"""Commands for instruction sets: hygiene, export."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from pipelines.export import export_rows
from pipelines.hygiene import inspect_recipe
from pipelines.layout import Layout
from pipelines.recipe import load_recipe
from pipelines.report import say


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "list what is wrong with the rows and images of a dump, and what mends it"
    hygiene = commands.add_parser("hygiene", help=text, description=text[0].upper() + text[1:] + ".")
    hygiene.add_argument("recipe", help="YAML recipe, see configs/build/")
    hygiene.add_argument("--out", required=True, metavar="FILE", help="every problem of every row, one JSON per line")
    hygiene.add_argument("--no-images", action="store_true", help="do not read the image files")
    hygiene.set_defaults(run=run_hygiene)

    text = "write the kept documents of a build as LLaVA JSON"
    export = commands.add_parser("export", help=text, description=text[0].upper() + text[1:] + ".")
    export.add_argument("build", metavar="OUT", help="folder of the build")
    export.add_argument("--out", required=True, metavar="FILE", help="the JSON list to write")
    export.set_defaults(run=run_export)


def run_hygiene(arguments: argparse.Namespace, console: Console) -> bool:
    """Inspect the dump of a recipe; return whether every file of it could be read."""
    recipe = load_recipe(arguments.recipe)
    return inspect_recipe(recipe, arguments.out, console, with_images=not arguments.no_images)


def run_export(arguments: argparse.Namespace, console: Console) -> bool:
    """Write the rows and say how many."""
    found = export_rows(Layout(arguments.build), arguments.out)
    say(console, f"{found.rows} rows, {found.as_read} of them as they were read: {arguments.out}")
    return True
