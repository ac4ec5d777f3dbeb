"""The command that makes an index of benchmarks, with which training data are compared."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from infimm_data.benchmarks import NGRAM, SHORTEST, write_index
from infimm_data.errors import ConfigError
from pipelines.benchmark_files import FIELDS, Counts, files_below, index_rows
from pipelines.report import say


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    text = "index the questions and images of benchmarks, for the steps benchmark_text and benchmark_image"
    index = commands.add_parser("benchmark-index", help=text, description=text[0].upper() + text[1:] + ".")
    index.add_argument(
        "benchmarks", nargs="+", metavar="NAME=PATH", help="a benchmark's file or folder; may be repeated"
    )
    index.add_argument("--out", required=True, metavar="FILE", help="the index, a Parquet file of hashes alone")
    index.add_argument(
        "--field", action="append", metavar="NAME", help=f"key or column of the questions; default: {', '.join(FIELDS)}"
    )
    index.add_argument("--ngram", type=int, default=NGRAM, help=f"words of an n-gram (default {NGRAM})")
    index.add_argument(
        "--shortest", type=int, default=SHORTEST, help=f"words of a question compared whole (default {SHORTEST})"
    )
    index.set_defaults(run=make_index)


def make_index(arguments: argparse.Namespace, console: Console) -> bool:
    """Read the benchmarks and write the index; return whether every image could be read."""
    if not 1 <= arguments.shortest <= arguments.ngram:
        raise ConfigError(f"--shortest is {arguments.shortest}, expected 1 to --ngram ({arguments.ngram})")
    settings = {"ngram": arguments.ngram, "shortest": arguments.shortest}
    named: dict[str, list[str]] = {}
    for given in arguments.benchmarks:
        name, equals, path = given.partition("=")
        if not (equals and path and name.replace("_", "").replace("-", "").isalnum()):
            raise ConfigError(f"{given}: expected NAME=PATH with letters, digits, - and _ in NAME, e.g. mme=data/mme")
        named.setdefault(name, []).extend(files_below(path))
    counts = {name: Counts() for name in named}

    def rows() -> Iterator[tuple[str, str, int, bytes]]:
        for name, paths in named.items():
            yield from index_rows(name, paths, arguments.field or FIELDS, settings, counts[name])

    written = write_index(arguments.out, rows(), settings)
    for name, found in counts.items():
        short = found.questions - found.indexed
        say(
            console,
            f"{name}: {found.questions} questions ({short} with fewer than {arguments.shortest} words left out), "
            f"{found.images} images ({found.bad_images} of them compared by file alone)",
        )
    if not written:
        raise ConfigError(f"nothing was found; name the keys of the questions with --field (tried {', '.join(FIELDS)})")
    say(console, f"{arguments.out}: {written} keys")
    return True
