"""What is seen of a run from outside: the loss of the documents that are held out, and what a watch makes of the model.

All ranks take part in both, with as many forward passes each: where weights are sharded, nobody has them alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch

from infimm_data.stream.batch import Batch
from infimm_data.stream.mixture import open_datasets
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import IGNORED
from model.config import TrainConfig
from model.infimm import InfiMM, vision_of
from model.parallel import World, whole_outside_layers
from model.tokenizer import Tokenizer
from model.train_log import TrainLog
from model.train_step import autocast, forward
from model.training_run import TrainingRun

Watch = Callable[[InfiMM, Tokenizer, int, World], None]
"""Gets the model, in evaluation mode, the step, and the ranks, all of which call it: each must run the model as often
as the others. It may write files, on the first rank, and must leave model and random state alone."""


def check_held_out(config: TrainConfig, data: str) -> None:
    """Raise ConfigError where documents are to be held out and a dataset is too small: before training, not after."""
    if config.stream.holdout_fraction:
        open_datasets(data, config.stream, split="holdout", epochs=1)


def evaluate(run: TrainingRun, data: str, journal: TrainLog | None, step: int) -> tuple[float, int] | None:
    """Return held-out loss after a step, and its number of targets; log it.

    None when nothing is held out, or when the run was asked to stop meanwhile.
    """
    config, asked = run.config, time.monotonic()
    if config.stream.holdout_fraction == 0:
        return None
    batches = one_pass(
        data, run.tokenizer.vocabulary, config.stream, image_side=vision_of(run.model).image_side, rows=run.micro_rows
    )
    with _evaluating(run.model):
        found = _mean_loss(run, _dealt(batches, run.world))
    if journal and found:
        journal.write_heldout(step, found[0], seconds=time.monotonic() - asked)
    return found


def show(run: TrainingRun, watch: Watch | None, step: int) -> None:
    """Let the watch look at the model."""
    if watch is None:
        return
    with _evaluating(run.model), whole_outside_layers(run.model), autocast(run):
        watch(run.model, run.tokenizer, step, run.world)


@contextlib.contextmanager
def _evaluating(model: InfiMM) -> Iterator[None]:
    model.eval()
    try:
        yield
    finally:
        model.train()


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
def _mean_loss(run: TrainingRun, batches: Iterable[Batch]) -> tuple[float, int] | None:
    """Return the mean loss over all targets of some batches of all ranks, and their number; None after a stop."""
    total, targets = 0.0, 0
    for batch in batches:
        out = forward(run, batch, is_training=False)
        assert out.loss_sum is not None
        total, targets = total + float(out.loss_sum), targets + out.num_targets
        run.stop.agree()
        if run.stop.is_agreed:
            return None
    total, targets_of_all = run.world.total([total, targets])
    return total / max(targets_of_all, 1), int(targets_of_all)
