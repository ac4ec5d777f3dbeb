"""The command that shows a build in the browser: explore."""

from __future__ import annotations

import argparse
import webbrowser
from typing import Any

from rich.console import Console

from infimm_data.config import load_settings
from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from pipelines.layout import Layout
from pipelines.report import say

DEMO = "package:configs/train/demo.yaml"  # its tokenizer is always here


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    text = "look at a build in the browser: documents, thresholds as sliders, duplicates, tokens; on this machine alone"
    explore = commands.add_parser("explore", help=text, description=text[0].upper() + text[1:] + ".")
    explore.add_argument("out", help="folder of the build")
    explore.add_argument("--port", type=int, default=0, help="port of the loopback address (default: a free one)")
    text = "training recipe by which tokens and packed rows are shown (default: the demo's)"
    explore.add_argument("--train", metavar="CONFIG", default=DEMO, help=text)
    explore.add_argument("--open", action="store_true", help="open the page in the default browser")
    explore.set_defaults(run=run_explore)


def run_explore(arguments: argparse.Namespace, console: Console) -> bool:
    """Serve until interrupted."""
    from pipelines.explorer.api import Api
    from pipelines.explorer.server import Explorer

    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"--port {arguments.port}: expected 0 to 65535")
    reading = reading_of(arguments.train)
    say(console, f"{arguments.out}: reading every measure ...")
    api = Api(Layout(arguments.out), reading)
    try:
        explorer = Explorer(api, port=arguments.port)
    except OSError as error:
        raise ConfigError(f"--port {arguments.port}: {error.strerror or error}; leave it out for a free one") from None
    say(console, f"open: {explorer.url}\nwho knows this address can look; Ctrl-C ends it")
    if arguments.open:
        webbrowser.open(explorer.url)
    try:
        explorer.serve()
    except KeyboardInterrupt:
        say(console, "ended")
    return True


def reading_of(path: str) -> Any:
    """Return how a training recipe reads shards; raises ConfigError where recipe or tokenizer are wrong."""
    from model.config import TrainConfig
    from model.tokenizer import load_tokenizer
    from pipelines.explorer.tokens import Reading

    config = load_settings(resolve(path), TrainConfig)
    tokenizer = load_tokenizer(config.model.tokenizer)
    decode = tokenizer.tokenizer.decode
    return Reading(path, tokenizer.vocabulary, config.stream, lambda ids: str(decode(ids)))
