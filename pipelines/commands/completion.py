"""The command that prints what a shell needs to complete commands and flags: completion."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console

from infimm_data.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")

HOW = """where it goes:
  bash   infimm completion bash > ~/.local/share/bash-completion/completions/infimm
  zsh    infimm completion zsh > ~/.zfunc/_infimm      (with ~/.zfunc in fpath, before compinit)
  fish   infimm completion fish > ~/.config/fish/completions/infimm.fish"""


def adding_commands(make_parser: Callable[[], argparse.ArgumentParser]) -> Callable[[Any], None]:
    """Return what adds the command; make_parser: of all commands, which completion must know."""

    def add_commands(commands: Any) -> None:
        text = "print the completion of commands and flags for a shell"
        completion = commands.add_parser(
            "completion", help=text, description=text[0].upper() + text[1:] + ".", epilog=HOW,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        completion.add_argument("shell", choices=SHELLS, help="the shell")
        completion.set_defaults(run=lambda given, console: print_completion(make_parser(), given.shell, console))

    return add_commands


def print_completion(parser: argparse.ArgumentParser, shell: str, console: Console) -> bool:
    """Print the script; raises ConfigError where shtab is not installed."""
    try:
        import shtab
    except ModuleNotFoundError:
        raise ConfigError("shell completion needs shtab: pip install shtab") from None
    console.file.write(shtab.complete(parser, shell=shell) + "\n")
    return True
