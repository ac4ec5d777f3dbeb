"""The one door: `infimm COMMAND`. What is built stands in the recipe; flags only say where.

Exit status: 0 done; 1 some work items failed, each named; 2 the input is wrong, said in one line.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rich.console import Console

from infimm_data.errors import ConfigError, InfiMMError, did_you_mean
from pipelines.commands import (
    benchmarks,
    build,
    completion,
    data,
    demo,
    explain,
    explore,
    inspect,
    instruct,
    ledger,
    plan,
    train,
)  # fmt: skip
from pipelines.commands import eval as evaluate

DONE, SOME_FAILED, WRONG_INPUT = 0, 1, 2

Command = Callable[[argparse.Namespace, Console], bool]
"""Runs a command; returns whether all of its work items succeeded."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right word."""

    def __init__(self, **settings: Any) -> None:
        """As argparse, but a flag is written out: an abbreviation would change its meaning when flags are added."""
        super().__init__(**{**settings, "allow_abbrev": False})
        self._given: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember what was given, for `error`; what the command does not know is an error here, not one door up."""
        self._given = list(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unexpected '{unknown[0]}'")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Leave with status 2; a misspelt flag is named first, since it is why another one is missing."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        flags = self.flags()
        unknown = [word.partition("=")[0] for word in self._given if re.match(r"--?[A-Za-z]", word)]
        unknown = [flag for flag in unknown if flag not in flags]
        if wrong:
            found = message.partition(" (choose")[0].partition(": ")[2]
            message = f"{found}.{did_you_mean(wrong[1], re.findall(r'[a-z][a-z-]*', wrong[2]))}"
        elif unknown:
            message = f"unknown flag {unknown[0]}.{did_you_mean(unknown[0], flags)}"
        ends = "" if message.endswith((".", "?")) else "."
        self.exit(WRONG_INPUT, f"{self.prog}: {message}{ends} See '{self.prog} --help'.\n")

    def flags(self) -> list[str]:
        """Return every flag of this command and of those below it."""
        own = [flag for action in self._actions for flag in action.option_strings]
        below = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return own + [flag for choices in below for parser in choices.values() for flag in parser.flags()]


WIDTH_IN_A_FILE = 110  # columns of a table where no terminal says how wide it is; the funnel needs about 100


class _Terminal(Console):
    def __init__(self) -> None:
        super().__init__(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)

    def on_broken_pipe(self) -> None:
        """Say it as an exception, where rich would leave the process with status 1."""
        raise BrokenPipeError


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; each module of `pipelines.commands` adds its own."""
    parser = _Parser(
        prog="infimm",
        description="From web dumps to multimodal shards to a trained InfiMM.",
        epilog="Start with 'make demo', which is: infimm demo --out runs/demo",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log one line per work item")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in (
        benchmarks, build, data, inspect, explore, instruct, ledger, plan, train, explain, evaluate, demo,
    ):  # fmt: skip
        module.add_commands(commands)
    completion.adding_commands(make_parser)(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status of the process."""
    # Before torch is imported: threads that spin while they wait made training on a busy machine 3 times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    parsed = make_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if parsed.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    command: Command = parsed.run
    try:
        return DONE if command(parsed, _Terminal()) else SOME_FAILED
    except BrokenPipeError:  # the reader of our output (`| head`) has seen enough
        # At once: nothing more can be flushed to it, and Arrow's threads that still read ahead end the process with a
        # message when the interpreter is taken down under them (seen once in thirty runs on a busy machine).
        os._exit(DONE)
    except ConfigError as error:
        sys.stderr.write(f"infimm {parsed.command}: {error}\n")
        return WRONG_INPUT
    except InfiMMError as error:
        sys.stderr.write(f"infimm {parsed.command}: {error}\n")
        return SOME_FAILED
    except OSError as error:  # a folder that cannot be written, a disk that is full: nothing that a trace would explain
        if parsed.verbose:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"infimm {parsed.command}: {where}{error.strerror or error} (-v shows where)\n")
        return WRONG_INPUT
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"infimm {parsed.command}: {str(stop) or 'stopped; the same command goes on from here'}\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
