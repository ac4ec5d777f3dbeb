"""The command that says what a training run will take before it is launched: plan."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from infimm_data.config import load_settings
from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from pipelines.report import say

if TYPE_CHECKING:
    from infimm_data.stream.reader import Position, Reader

LOOKED_AT = 1024  # documents that the figures per row are taken from: the first windows of the run itself
ROOM = 0.9  # share of a device's memory that may be planned for


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    text = "say the steps, tokens, images, memory and hours of a training recipe before it is launched"
    parser = commands.add_parser("plan", help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("config", help="YAML recipe, see configs/train/")
    parser.add_argument("--data", default="", help="folder of shards, as in training")
    parser.add_argument("--devices", type=int, default=1, help="GPUs that share the work (default 1)")
    parser.add_argument("--memory-gb", type=float, help="memory of one device, to say whether a step fits")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--tokens-per-s", type=float, help="measured speed of all devices together, padding not counted")
    speed.add_argument("--like", metavar="RUN", help="a run of the same recipe on the same devices: its measured speed")
    speed.add_argument(
        "--mfu", type=float, default=0.4, help="share of the peak that is reached (default 0.4, a target)"
    )
    parser.add_argument(
        "--tflops", type=float, default=989.0, help="peak of one device in bf16 (default 989: H100, H200)"
    )
    parser.set_defaults(run=run_plan)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Means over the first rows of a run. documents: of each dataset, per row."""

    looked_at: int
    tokens: float
    images: float
    documents: tuple[float, ...]


def run_plan(arguments: argparse.Namespace, console: Console) -> bool:
    """Print the plan of a recipe; nothing is trained and no image decoded."""
    from infimm_data.stream.reader import Reader
    from model.config import TrainConfig
    from model.flops import count_flops
    from model.plan import memory_of, model_without_weights, parts_of
    from model.tokenizer import load_tokenizer

    config = load_settings(resolve(arguments.config), TrainConfig)
    _check(arguments, has_mixture=bool(config.stream.mixture))
    measured = arguments.tokens_per_s or (_measured(arguments.like) if arguments.like else None)
    tokenizer = load_tokenizer(config.model.tokenizer)
    reader = Reader(arguments.data, tokenizer.vocabulary, config.stream, image_side=1)
    rows = _first_rows(reader)
    model = model_without_weights(config.model, tokenizer)
    model.set_trainable(config.train)
    for line in _data_lines(reader, rows, config):
        say(console, line)
    say(console, "model:")
    for part in parts_of(model):
        say(console, f"    {part.name:<16} {part.parameters:>15,} parameters, {part.trained:,} train")
    memory = memory_of(model, config, images_per_row=rows.images, ranks=arguments.devices)
    where = "without sharding"
    if arguments.devices > 1:
        kind = "with all of it (DDP)" if config.parallel == "ddp" else "sharded (FSDP2)"
        where = f"of {arguments.devices}, {kind}"
    say(console, f"memory of one device {where}, by formula (model/plan.py): {_gb(memory.total)}")
    for name in memory.__slots__:
        if name != "gathered" or memory.gathered:
            say(console, f"    {name:<16} {_gb(getattr(memory, name))}")
    if arguments.memory_gb is not None:
        fits = memory.total <= ROOM * arguments.memory_gb * 1e9
        remedy = "it fits" if fits else "it does not: lower micro_rows, shard, or checkpoint activations"
        say(console, f"    on {arguments.memory_gb:g} GB, {ROOM:.0%} of them usable: {remedy}")
    if measured is None:
        say(console, _hours(arguments, config, rows, count_flops(model)))
    else:
        seconds = config.steps * config.rows_per_step * rows.tokens / measured
        source = f"as measured in {arguments.like}" if arguments.like else "as given"
        say(console, f"hours: {_time(seconds)} at {measured:,.0f} tokens/s, {source}")
    return True


def _check(arguments: argparse.Namespace, *, has_mixture: bool) -> None:
    if not arguments.data and not has_mixture:
        raise ConfigError("--data is missing: give the folder of shards to train on")
    for name, value in (("devices", arguments.devices), ("mfu", arguments.mfu), ("tflops", arguments.tflops)):
        if value <= 0:
            raise ConfigError(f"--{name} {value:g}: expected more than 0")
    if arguments.tokens_per_s is not None and arguments.tokens_per_s <= 0:
        raise ConfigError(f"--tokens-per-s {arguments.tokens_per_s:g}: expected more than 0")
    if arguments.mfu > 1:
        raise ConfigError(f"--mfu {arguments.mfu:g}: a share of the peak, at most 1; 0.4 is 40 %")


def _first_rows(reader: Reader) -> _Rows:
    """Plan the first windows and average over their rows."""
    rows = tokens = images = 0
    position: Position = reader.start
    for window in reader.windows(reader.start):
        rows += len(window.rows)
        tokens += sum(len(piece.tokens) for row in window.rows for piece in row)
        images += sum(piece.num_images for row in window.rows for piece in row)
        position = window.after
        if sum(at.documents for at in position.cursors) >= LOOKED_AT:
            break
    taken = [at.documents for at in position.cursors]
    return _Rows(sum(taken), tokens / rows, images / rows, tuple(number / rows for number in taken))


def _data_lines(reader: Reader, rows: _Rows, config: Any) -> list[str]:
    count = config.steps * config.rows_per_step
    fill = rows.tokens / config.stream.row_tokens
    lines = [
        f"steps: {config.steps:,} of {config.rows_per_step:,} rows of {config.stream.row_tokens:,} slots",
        f"tokens: {count * rows.tokens:,.0f}; images: {count * rows.images:,.0f}",
        f"    from the first {rows.looked_at:,} documents: fill {fill:.3f}, {rows.images:.2f} images a row",
    ]
    for dataset, per_row in zip(reader.datasets, rows.documents, strict=True):
        size, taken = len(dataset.index), count * per_row
        end = ""
        if dataset.limit is not None and taken > dataset.limit:
            step = int(dataset.limit / per_row / config.rows_per_step)
            end = f"; it ends after {dataset.limit // size} epochs, at about step {step:,}"
        lines.append(
            f"{dataset.name or 'data'}: {size:,} documents with {dataset.index.num_images:,} images; share "
            f"{dataset.share:.3f}, {taken:,.0f} documents in all, {taken / size:.2f} epochs{end}"
        )
    return lines


def _hours(arguments: argparse.Namespace, config: Any, rows: _Rows, flops: Any) -> str:
    from model.flops import Work

    count, slots = config.steps * config.rows_per_step, config.stream.row_tokens
    row = flops.of(Work(slots, slots * (slots + 1) / 2, slots, slots, rows.images))
    seconds = count * row / (arguments.mfu * arguments.tflops * 1e12 * arguments.devices)
    speed = count * rows.tokens / seconds
    return (
        f"hours: {_time(seconds)} on {arguments.devices} x {arguments.tflops:g} TFLOP/s at an MFU of {arguments.mfu:g} "
        f"(an assumption): {row * config.rows_per_step / 1e12:,.3g} TFLOP a step, {speed:,.0f} tokens/s"
    )


def _measured(run: str) -> float:
    """Return the median speed of a run's log, in tokens per second, without its first line (start-up)."""
    from model.train_log import read_metrics

    speeds = [line["tokens_per_s"] for line in read_metrics(Path(run) / "metrics.jsonl") if "tokens_per_s" in line]
    if not speeds:
        raise ConfigError(f"--like {run}: no metrics.jsonl with steps; expected the --out of a training run")
    return float(statistics.median(speeds[1:] or speeds))


def _gb(number: float) -> str:
    return f"{number / 1e9:,.3f} GB"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.2f}"
