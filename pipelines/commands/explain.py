"""The command that takes a training row apart: explain. Which documents, from where, and which image a token sees."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from infimm_data.config import load_settings, parse_settings
from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from infimm_data.stream.tokens import IGNORED
from pipelines.report import say

if TYPE_CHECKING:
    from infimm_data.stream.explain import Explained

SIDE = 96  # pixels of the images in the picture
CONTEXT = 12  # tokens before and after the one that is asked for


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    text = "name the documents, shards, offsets and images of a training row, and what its tokens see"
    parser = commands.add_parser("explain", help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("recipe", metavar="RUN_OR_CONFIG", help="folder of a training run, or a recipe")
    parser.add_argument("--data", default="", help="folder of shards, as in training")
    parser.add_argument("--step", type=int, required=True, help="optimizer step, from 1 as in metrics.jsonl")
    parser.add_argument(
        "--row", type=int, default=0, help="row of the step, from 0 in the order of the stream (default 0)"
    )
    parser.add_argument("--token", type=int, metavar="T", help="say which image the token at slot T sees, and mark it")
    parser.add_argument("--picture", metavar="FILE", help="where to draw the row (default: STEP and ROW .png, here)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables; draws nothing")
    parser.set_defaults(run=run_explain)


def run_explain(arguments: argparse.Namespace, console: Console) -> bool:
    """Print what a row is made of and draw it."""
    from infimm_data.stream.explain import explain, find_row
    from infimm_data.stream.reader import Reader
    from infimm_data.stream.stream import position_of
    from model.config import TrainConfig
    from model.semantics import as_seen
    from model.tokenizer import load_tokenizer
    from pipelines.row_picture import draw_row

    config, states = _recipe_of(arguments.recipe, TrainConfig)
    rows = config.rows_per_step
    if arguments.step < 1 or not 0 <= arguments.row < rows:
        raise ConfigError(
            f"--step {arguments.step} --row {arguments.row}: steps count from 1, and a step has rows 0..{rows - 1}"
        )
    if not arguments.data and not config.stream.mixture:
        raise ConfigError("--data is missing: give the folder of shards that the run trained on")
    tokenizer = load_tokenizer(config.model.tokenizer)
    reader = Reader(arguments.data, tokenizer.vocabulary, config.stream, image_side=SIDE)
    known = [position_of(reader, state) for state in states]
    planned, position = find_row(reader, (arguments.step - 1) * rows + arguments.row, known)
    row = explain(reader, planned, position)
    semantics = config.model.cross_attention.semantics
    sees = as_seen(row.batch, tokenizer.vocabulary, semantics, seed=config.stream.seed).image_index[0].tolist()
    slots = len(sees)
    if arguments.token is not None and not 0 <= arguments.token < slots:
        raise ConfigError(f"--token {arguments.token}: a row has slots 0..{slots - 1}")
    title = f"step {arguments.step}, row {arguments.row} of {rows}"
    token = None if arguments.token is None else _token(row, sees, arguments.token, tokenizer.decode, semantics)
    if arguments.json:
        say(console, json.dumps(_plain(row, title, token), ensure_ascii=False, indent=1))
        return True
    for line in _lines(row, title) + ([] if token is None else [token["says"]]):
        say(console, line)
    picture = arguments.picture or f"step-{arguments.step}-row-{arguments.row}.png"
    draw_row(row, sees, picture, title=title, token=arguments.token)
    say(console, f"picture: {picture}")
    return True


def _recipe_of(path: str, settings: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return the recipe of a run (of its last checkpoint) or of a file, and the positions that the run stored.

    Those of its checkpoints, and of the lines of its log that have one.
    """
    from model.train_log import read_metrics

    folder = Path(path)
    if not folder.is_dir():
        return load_settings(resolve(path), settings), []
    abouts = []
    for file in sorted(folder.glob("checkpoints/step-*/config.json")) or sorted(folder.glob("config.json")):
        try:
            about = json.loads(file.read_text())
            abouts.append((file, about["config"], about.get("stream")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file}: not a checkpoint's ({error!r})") from None
    if not abouts:
        raise ConfigError(f"{path}: no checkpoint; expected the --out of a training run, or a recipe")
    file, config, _ = abouts[-1]
    states = [state for _, _, state in abouts] + [line.get("stream") for line in read_metrics(folder / "metrics.jsonl")]
    return parse_settings(config, settings, where=str(file)), [state for state in states if state]


def _lines(row: Explained, title: str) -> list[str]:
    used, slots = row.batch.num_tokens, row.batch.input_ids.numel()
    where = row.position
    lines = [
        f"{title}: row {where.rows} of the stream, row {where.row} of window {where.window}",
        f"{slots} slots, {used} tokens (fill {used / slots:.3f}), {row.batch.num_targets} with loss, "
        f"{len(row.documents)} documents, {len(row.images)} images",
    ]
    for number, one in enumerate(row.documents):
        dataset = f"{one.dataset}, " if one.dataset else ""
        part = "whole" if one.part == (0, one.total) else f"its tokens {_span(one.part)} of {one.total}"
        lines += [
            f"document {number}: slots {_span(one.tokens)}, {part}; {dataset}{one.key}",
            f"    {one.shard} at byte {one.offset}, {one.size} bytes; {one.url or 'no URL'}",
        ]
    for number, image in enumerate(row.images):
        seen = ", ".join(_span(run) for run in image.seen_by) or "no slot"
        lines += [
            f"image {number}: document {image.document}, file {image.file}, in sight of slots {seen}",
            f"    sha256 {image.sha256 or 'not stored'}; {image.url}",
        ]
    return lines + [f"left out: {one.what} ({one.reason})" for one in row.skipped]


def _span(run: tuple[int, int]) -> str:
    return f"{run[0]}-{run[1] - 1}" if run[1] > run[0] else "none"


def _token(row: Explained, sees: list[int], token: int, decode: Any, semantics: str) -> dict[str, Any]:
    """Say what a token is, where it stands and what it sees under the model's semantics."""
    ids, document = row.batch.input_ids[0].tolist(), int(row.batch.document_ids[0, token])
    if document < 0:
        return {"token": token, "says": f"slot {token}: padding"}
    first, stop = row.documents[document].tokens
    before = decode(ids[max(first, token - CONTEXT) : token])
    after = decode(ids[token + 1 : min(stop, token + 1 + CONTEXT)])
    image = sees[token]
    what = "no image" if image < 0 else f"image {image} ({row.images[image].file}, {row.images[image].url})"
    loss = "has a loss" if int(row.batch.labels[0, token]) != IGNORED else "has no loss"
    position = int(row.batch.position_ids[0, token])
    says = (
        f"slot {token}: token {ids[token]} {decode([ids[token]])!r}, position {position} of document {document}, "
        f"{loss}; under {semantics} it sees {what}\n    ...{before}[{decode([ids[token]])}]{after}..."
    )
    return {
        "token": token, "id": ids[token], "document": document, "position": position, "semantics": semantics,
        "image": None if image < 0 else image, "says": says,
    }  # fmt: skip


def _plain(row: Explained, title: str, token: dict[str, Any] | None) -> dict[str, Any]:
    where = row.position
    return {
        "row": title, "stream_row": where.rows, "window": where.window, "window_row": where.row,
        "tokens": row.batch.num_tokens, "slots": row.batch.input_ids.numel(),
        "documents": [dataclasses.asdict(one) for one in row.documents],
        "images": [dataclasses.asdict(one) for one in row.images],
        "left_out": [dataclasses.asdict(one) for one in row.skipped],
        "token": token,
    }  # fmt: skip
