"""The training loop: shards in, checkpoints and metrics out; a resumed run equals one that never stopped.

    result = train(load_settings("configs/train/demo.yaml", TrainConfig), data="OUT/shards", out="OUT/train")

Writes OUT/metrics.jsonl, OUT/tensorboard and OUT/checkpoints/step-*. On many ranks every one calls it alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from infimm_data.errors import ConfigError
from infimm_data.progress import Track
from infimm_data.stream.batch import Batch
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import IGNORED
from model.checkpoint import checkpoints, remove_checkpoints_after
from model.checkpoint_writer import CheckpointWriter
from model.config import TrainConfig
from model.flops import peak_tflops
from model.infimm import InfiMM, vision_of
from model.parallel import World, joined
from model.tokenizer import Tokenizer
from model.train_board import Board
from model.train_log import Devices, StepFacts, TrainLog
from model.train_step import forward, take_step
from model.training_run import TrainingRun, begin, resume, save

log = logging.getLogger(__name__)

Watch = Callable[[InfiMM, Tokenizer, int], None]
"""Gets the model, in evaluation mode, and the step; it may write files, and must leave model and random state alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a run ended. Losses in nats per target; heldout_loss is None without held-out documents.

    steps: fewer than the recipe asks for where the stream ended before; seconds: of this call alone; num_tokens: text
    tokens seen by it, on all ranks; skipped: "document:REASON" or "image:REASON" -> how many rank 0 read and left out.
    """

    steps: int
    train_loss: float
    heldout_loss: float | None
    heldout_targets: int
    num_tokens: int
    seconds: float
    skipped: dict[str, int]
    checkpoint: str
    metrics: str


def train(
    config: TrainConfig, *, data: str, out: str, resume: bool = True, start: str | None = None,
    watch: Watch | None = None,
) -> TrainResult:  # fmt: skip
    """Train as the recipe says and return how it ended.

    data: a folder of shards; out: where checkpoints and metrics go; resume: go on from the last checkpoint in
    `out` if there is one, else start over and remove the checkpoints that are there; start: a run, checkpoint or
    published folder whose weights are the first ones; watch: looks at the model after each evaluation, where one
    process trains. Ctrl-C, or SIGTERM, ends one process after its step with a checkpoint, by KeyboardInterrupt.

    Raises ConfigError for wrong input, ShardError for damaged shards, InfiMMError when the loss is not a number or a
    checkpoint cannot be written.
    """
    started = time.monotonic()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with joined(config.device) as world:
        finished = world.gather([str(one) for one in checkpoints(out)] if resume else [])[0]
        run = begin(config, world, data=data, start=None if finished else start)
        with run.stream:
            last = Path(finished[-1]) if finished else None
            return _train(run, data=data, out=out, last=last, started=started, watch=watch)


def _train(
    run: TrainingRun, *, data: str, out: str, last: Path | None, started: float, watch: Watch | None
) -> TrainResult:  # fmt: skip
    config, num_tokens = run.config, 0
    done = saved = first_step = resume(run, last) if last else 0
    if run.world.is_first:
        remove_checkpoints_after(out, first_step)
    with _journal(run, out, first_step) as journal, CheckpointWriter(
        out, run.world, keep=config.keep_checkpoints
    ) as writer, _track(run, first_step) as track, _noting_signals(run.world) as asked_to_stop:  # fmt: skip
        for step in range(first_step + 1, config.steps + 1):
            facts = take_step(run, step - 1)
            if facts is None:
                log.warning("the stream ended after step %d of %d: its epochs are over", done, config.steps)
                break
            done, num_tokens = step, num_tokens + facts.num_tokens
            writer.poll()
            _note(run, facts, step, journal=journal, track=track)
            if _is_due(step, config.checkpoint_every):
                save(run, writer, step)
                saved = step
            if asked_to_stop:
                break
            if step < config.steps and _is_due(step, config.evaluate_every):
                _evaluate(run, data, journal, step)
                _show(run, watch, step)
        if done == 0:
            raise ConfigError(f"{data}: not enough rows for one step of {config.rows_per_step}; lower rows_per_step")
        if journal and journal.has_steps:
            journal.write(done, stream=run.stream.state_dict())
        if saved < done:
            save(run, writer, done)
        if asked_to_stop:
            writer.wait()
            raise KeyboardInterrupt
        heldout = _evaluate(run, data, journal if done > first_step else None, done)
        if done > first_step:
            _show(run, watch, done)
        loss = journal.last_loss if journal else math.nan
    return TrainResult(
        steps=done,
        train_loss=run.world.gather(loss)[0],
        heldout_loss=heldout[0] if heldout else None,
        heldout_targets=heldout[1] if heldout else 0,
        num_tokens=num_tokens,
        seconds=time.monotonic() - started,
        skipped=run.stream.failures.counts(),
        checkpoint=str(checkpoints(out)[-1]),
        metrics=str(Path(out) / "metrics.jsonl"),
    )


@contextlib.contextmanager
def _noting_signals(world: World) -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM, for a stop after the step; the next one ends the process at once.

    In one process alone: many ranks would have to agree on the step.
    """
    noted: list[int] = []
    if world.size > 1 or threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, _: object) -> None:
        noted.append(number)
        log.warning("stopping after this step, with a checkpoint; once more stops at once")
        put_back()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield noted
    finally:
        put_back()


def _note(run: TrainingRun, facts: StepFacts, step: int, *, journal: TrainLog | None, track: Track | None) -> None:
    """Log a step and show it, on the rank that does."""
    if journal:
        journal.add(facts)
        if step % run.config.log_every == 0:
            journal.write(step, stream=run.stream.state_dict())
    if track:
        track.advance(note=f"loss {facts.loss_sum / max(facts.num_targets, 1):.3f}")


@contextlib.contextmanager
def _journal(run: TrainingRun, out: str, first_step: int) -> Iterator[TrainLog | None]:
    """Open the log of a run on its first rank; the others have none."""
    if not run.world.is_first:
        yield None
        return
    board = Board(Path(out) / "tensorboard", from_step=first_step) if run.config.tensorboard else None
    device = run.world.device
    peak = run.config.peak_tflops or peak_tflops(device)
    devices = Devices(run.world.size, peak, is_cuda=device.type == "cuda")
    try:
        yield TrainLog(Path(out) / "metrics.jsonl", from_step=first_step, devices=devices, board=board)
    finally:
        if board:
            board.close()


def _track(run: TrainingRun, first_step: int) -> contextlib.AbstractContextManager[Track | None]:
    if not run.world.is_first:
        return contextlib.nullcontext()
    return Track("train", run.config.steps - first_step, unit="steps")


def _evaluate(run: TrainingRun, data: str, journal: TrainLog | None, step: int) -> tuple[float, int] | None:
    """Return held-out loss after a step, and its number of targets, or None when nothing is held out; log it."""
    config, asked = run.config, time.monotonic()
    if config.stream.holdout_fraction == 0:
        return None
    batches = one_pass(
        data, run.tokenizer.vocabulary, config.stream, image_side=vision_of(run.model).image_side, rows=run.micro_rows
    )
    run.model.eval()
    try:
        loss, targets = _mean_loss(run, _dealt(batches, run.world))
    finally:
        run.model.train()
    if journal:
        journal.write_heldout(step, loss, seconds=time.monotonic() - asked)
    return loss, targets


def _show(run: TrainingRun, watch: Watch | None, step: int) -> None:
    """Let the watch look at the model; only where one process holds all of it."""
    if watch is None or run.world.size > 1:
        return
    run.model.eval()
    try:
        watch(run.model, run.tokenizer, step)
    finally:
        run.model.train()


def _dealt(batches: Iterator[Batch], world: World) -> Iterator[Batch]:
    """Yield this rank's share of the batches, as many on every rank: one that is left without repeats another's,
    without its labels.
    """
    while together := list(islice(batches, world.size)):
        if world.rank < len(together):
            yield together[world.rank]
        else:
            yield dataclasses.replace(together[0], labels=torch.full_like(together[0].labels, IGNORED))


@torch.no_grad()
def _mean_loss(run: TrainingRun, batches: Iterable[Batch]) -> tuple[float, int]:
    """Return the mean loss over all targets of some batches of all ranks, and their number."""
    total, targets = 0.0, 0
    for batch in batches:
        out = forward(run, batch, is_training=False)
        assert out.loss_sum is not None
        total, targets = total + float(out.loss_sum), targets + out.num_targets
    total, targets_of_all = run.world.total([total, targets])
    return total / max(targets_of_all, 1), int(targets_of_all)


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
