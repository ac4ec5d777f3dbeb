"""The training loop: shards in, checkpoints and metrics out; a resumed run equals one that never stopped.

    result = train(load_settings("configs/train/demo.yaml", TrainConfig), data="OUT/shards", out="OUT/train")

Writes OUT/metrics.jsonl, OUT/tensorboard and OUT/checkpoints/step-*. On many ranks every one calls it alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from infimm_data.progress import Track
from infimm_data.stream.batch import Batch
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import IGNORED
from model.checkpoint import checkpoints, remove_checkpoints_after
from model.checkpoint_writer import CheckpointWriter
from model.config import TrainConfig
from model.flops import peak_tflops
from model.infimm import vision_of
from model.parallel import World, broadcast, joined
from model.train_board import Board
from model.train_log import Devices, TrainLog
from model.train_step import forward, take_step
from model.training_run import TrainingRun, begin, resume, save

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a run ended. Losses in nats per target; heldout_loss is None without held-out documents.

    seconds: of this call, without what an earlier call of a resumed run took; num_tokens: text tokens seen by it, on
    all ranks; skipped: "document:REASON" or "image:REASON" -> how many rank 0 read and left out.
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


def train(config: TrainConfig, *, data: str, out: str, resume: bool = True, start: str | None = None) -> TrainResult:
    """Train as the recipe says and return how it ended.

    data: a folder of shards; out: where checkpoints and metrics go; resume: go on from the last checkpoint in
    `out` if there is one, else start over and remove the checkpoints that are there; start: a run, checkpoint or
    published folder whose weights are the first ones. Raises ConfigError for wrong input, ShardError for damaged
    shards, InfiMMError when the loss is not a number or a checkpoint cannot be written.
    """
    started = time.monotonic()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with joined(config.device) as world:
        finished = broadcast([str(one) for one in checkpoints(out)] if resume else [], world)
        run = begin(config, world, data=data, start=None if finished else start)
        with run.stream:
            last = Path(finished[-1]) if finished else None
            return _train(run, data=data, out=out, last=last, started=started)


def _train(run: TrainingRun, *, data: str, out: str, last: Path | None, started: float) -> TrainResult:
    config, num_tokens = run.config, 0
    first_step = resume(run, last) if last else 0
    if run.world.is_first:
        remove_checkpoints_after(out, first_step)
    heldout: tuple[float, int] | None = None
    with _journal(run, out, first_step) as journal, CheckpointWriter(
        out, run.world, keep=config.keep_checkpoints
    ) as writer, _track(run, first_step) as track:  # fmt: skip
        loss = journal.last_loss if journal else float("nan")
        for step in range(first_step + 1, config.steps + 1):
            facts = take_step(run, step - 1)
            writer.poll()
            num_tokens += facts.num_tokens
            is_last = step == config.steps
            if journal:
                journal.add(facts)
                if is_last or step % config.log_every == 0:
                    loss = journal.write(step)["loss"]
            if track:
                track.advance(note=f"loss {facts.loss_sum / max(facts.num_targets, 1):.3f}")
            if is_last or _is_due(step, config.checkpoint_every):
                save(run, writer, step)
            if is_last or _is_due(step, config.evaluate_every):
                asked = time.monotonic()
                heldout = _evaluate(run, data)
                if journal and heldout is not None:
                    journal.write_heldout(step, heldout[0], seconds=time.monotonic() - asked)
    if heldout is None:  # a finished run, called again
        heldout = _evaluate(run, data)
    return TrainResult(
        steps=config.steps,
        train_loss=broadcast(loss, run.world),
        heldout_loss=heldout[0] if heldout else None,
        heldout_targets=heldout[1] if heldout else 0,
        num_tokens=num_tokens,
        seconds=time.monotonic() - started,
        skipped=run.stream.failures.counts(),
        checkpoint=str(checkpoints(out)[-1]),
        metrics=str(Path(out) / "metrics.jsonl"),
    )


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


def _evaluate(run: TrainingRun, data: str) -> tuple[float, int] | None:
    """Return held-out loss and its number of targets, or None when nothing is held out."""
    config = run.config
    if config.stream.holdout_fraction == 0:
        return None
    batches = one_pass(
        data, run.tokenizer.vocabulary, config.stream, image_side=vision_of(run.model).image_side, rows=run.micro_rows
    )
    run.model.eval()
    try:
        return _mean_loss(run, _dealt(batches, run.world))
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
