"""The training loop: shards in, checkpoints and metrics out; a resumed run equals one that never stopped.

    result = train(load_settings("configs/train/demo.yaml", TrainConfig), data="OUT/shards", out="OUT/train")

Writes OUT/metrics.jsonl, OUT/tensorboard and OUT/checkpoints/step-*. On many ranks every one calls it alike.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from infimm_data.errors import ConfigError
from infimm_data.progress import Track
from model.checkpoint import checkpoints, remove_checkpoints_after
from model.checkpoint_writer import CheckpointWriter
from model.config import TrainConfig
from model.flops import peak_tflops
from model.heldout import Watch, check_held_out, evaluate, show
from model.parallel import joined
from model.train_board import Board
from model.train_log import Devices, StepFacts, TrainLog
from model.train_step import take_step
from model.training_run import TrainingRun, begin, resume, save

log = logging.getLogger(__name__)


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
    watch: Watch | None = None, asks_to_stop: Callable[[], bool] | None = None,
) -> TrainResult:  # fmt: skip
    """Train as the recipe says and return how it ended.

    data: a folder of shards; out: where checkpoints and metrics go; resume: go on from the last checkpoint in
    `out` if there is one, else start over and remove the checkpoints that are there; start: a run, checkpoint or
    published folder whose weights are the first ones; watch: looks at the model after each evaluation; asks_to_stop:
    on the first rank, looked at once a step. Ctrl-C or SIGTERM of any rank, or `asks_to_stop`, ends all of them after
    the same step with a checkpoint, by KeyboardInterrupt with the line to say; see `model.stopping`.

    Raises ConfigError for wrong input, ShardError for damaged shards, InfiMMError when the loss is not a number or a
    checkpoint cannot be written.
    """
    started = time.monotonic()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with joined(config.device) as world:
        finished = world.gather([str(one) for one in checkpoints(out)] if resume else [])[0]
        check_held_out(config, data)
        run = begin(config, world, data=data, start=None if finished else start, asks_to_stop=asks_to_stop)
        with run.stream:
            last = Path(finished[-1]) if finished else None
            return _train(run, data=data, out=out, last=last, started=started, watch=watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What stands around the steps of a run. journal, track: on the first rank alone."""

    data: str
    writer: CheckpointWriter
    journal: TrainLog | None
    track: Track | None
    watch: Watch | None


def _train(
    run: TrainingRun, *, data: str, out: str, last: Path | None, started: float, watch: Watch | None
) -> TrainResult:  # fmt: skip
    first_step = resume(run, last) if last else 0
    if run.world.is_first:
        remove_checkpoints_after(out, first_step)
    with _journal(run, out, first_step) as journal, CheckpointWriter(
        out, run.world, keep=run.config.keep_checkpoints
    ) as writer, _track(run, first_step) as track, run.stop.noting_signals():  # fmt: skip
        around = _Around(data=data, writer=writer, journal=journal, track=track, watch=watch)
        done, num_tokens = _take_steps(run, around, first_step)
        heldout = None
        if not run.stop.is_agreed:
            heldout = evaluate(run, data, journal if done > first_step else None, done)
        if run.stop.is_agreed:
            writer.wait()
            raise KeyboardInterrupt(
                f"stopped after step {done} of {run.config.steps}, checkpoint: {checkpoints(out)[-1]}; "
                "the same command goes on from there"
            )
        if done > first_step:
            show(run, watch, done)
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


def _take_steps(run: TrainingRun, around: _Around, first_step: int) -> tuple[int, int]:
    """Take the steps that are left, or until a stop; return the last one, which has its checkpoint, and the tokens."""
    config, num_tokens, done, saved = run.config, 0, first_step, first_step
    if first_step:
        _look_again(run, around, first_step)
    while done < config.steps and not run.stop.is_agreed:
        facts = take_step(run, done)
        if facts is None:
            log.warning("the stream ended after step %d of %d: its epochs are over", done, config.steps)
            break
        done, num_tokens = done + 1, num_tokens + facts.num_tokens
        around.writer.poll()
        _note(run, facts, done, journal=around.journal, track=around.track)
        if _is_due(done, config.checkpoint_every):
            save(run, around.writer, done)
            saved = done
        if done < config.steps and _is_due(done, config.evaluate_every):
            _look(run, around, done)
    if done == 0:
        raise ConfigError(f"{around.data}: not enough rows for one step of {config.rows_per_step}; lower rows_per_step")
    if around.journal and around.journal.has_steps:
        around.journal.write(done, stream=run.stream.state_dict())
    if saved < done:
        save(run, around.writer, done)
    return done, num_tokens


def _look(run: TrainingRun, around: _Around, step: int) -> None:
    """Measure the held-out loss after a step, and let the watch look, unless the run is to stop."""
    if not run.stop.is_agreed:
        evaluate(run, around.data, around.journal, step)
    if not run.stop.is_agreed:
        show(run, around.watch, step)


def _look_again(run: TrainingRun, around: _Around, step: int) -> None:
    """Look as the run would have done after its checkpoint, had it not been cut off between the two."""
    if step == run.config.steps or not _is_due(step, run.config.evaluate_every):
        return
    if not run.world.gather(around.journal is not None and around.journal.has_heldout(step))[0]:
        _look(run, around, step)


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


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
