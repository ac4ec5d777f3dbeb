"""One optimizer step on all ranks: the batches, the loss over all of their targets, gradients, their norm, the update.

A step's loss is a mean over targets, so micro-batches and ranks are summed and divided once: a mean of means would
weigh a target by how empty its micro-batch is. What to divide by is known before the first forward pass, from labels.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from infimm_data.errors import InfiMMError
from infimm_data.stream.batch import Batch
from infimm_data.stream.tokens import IGNORED
from model.flops import NO_WORK, Work, work_of
from model.infimm import Output
from model.optimizer import learning_rate
from model.parallel import clip, micro_step
from model.semantics import as_seen
from model.train_log import StepFacts
from model.training_run import TrainingRun


@dataclass(frozen=True, slots=True)
class _Counts:
    """A step over all ranks, before its first forward pass. by_source: targets of each of the run's sources."""

    targets: int
    tokens: int
    slots: int
    images: int
    by_source: tuple[int, ...]
    hardware: Work
    useful: Work
    wait_s: float


def take_step(run: TrainingRun, step: int) -> StepFacts | None:
    """Take the optimizer step `step` (from 0) on `rows_per_step` rows; every rank calls it, and learns at its end
    whether one of them was asked to stop.

    Returns None, and does nothing, where the stream has ended before the rows of a step. Raises InfiMMError on every
    rank when one cannot read its rows, or when the loss is not a number.
    """
    config = run.config
    batches, counts = _batches(run)
    if counts is None:
        return None
    rate = learning_rate(step, config.steps, config.optimizer)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    sums = torch.zeros(1 + len(counts.by_source), dtype=torch.float64)
    hits = run.cache.hits if run.cache else 0
    for number, batch in enumerate(batches):
        with micro_step(run.stepped, is_last=number + 1 == len(batches)):
            out = forward(run, batch, weights=_weights(run, batch, counts))
            assert out.loss_sum is not None
            assert out.weighted is not None
            divisor = max(counts.targets, 1) if config.loss_mean == "tokens" else 1
            # Gradients are averaged over ranks, but the loss is a sum over them.
            (out.weighted / divisor * run.world.size).backward()  # type: ignore[no-untyped-call]  # torch's own
        sums[0] += float(out.loss_sum.detach())
        if out.by_source is not None:
            sums[1:] += out.by_source.double().cpu()
    _forget_unused(run, counts)
    trainable = [p for group in run.optimizer.param_groups for p in group["params"]]
    grad_norm = clip(trainable, config.optimizer.max_grad_norm)
    num_asked, loss_sum, *by_source = run.world.total([run.stop.is_asked, *sums.tolist()])
    run.stop.settle(num_asked)
    if not (math.isfinite(loss_sum) and math.isfinite(grad_norm)):
        raise InfiMMError(
            f"step {step + 1}: loss {loss_sum:.4g}, gradient norm {grad_norm:.4g}, expected finite numbers; "
            "checkpoints are from before it: lower optimizer.learning_rate, or look at the documents of the step "
            f"(infimm explain CONFIG --data DATA --step {step + 1})"
        )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return StepFacts(
        loss_sum=loss_sum,
        num_targets=counts.targets,
        num_tokens=counts.tokens,
        num_slots=counts.slots,
        num_images=counts.images,
        wait_s=counts.wait_s,
        learning_rate=rate,
        grad_norm=grad_norm,
        by_source=dict(zip(run.sources, zip(by_source, counts.by_source, strict=True), strict=True)),
        hardware_flops=run.flops.of(counts.hardware),
        useful_flops=run.flops.of(counts.useful),
        cache_hits=run.cache.hits - hits if run.cache else None,
    )


def forward(run: TrainingRun, batch: Batch, *, weights: Tensor | None = None, is_training: bool = True) -> Output:
    """Run the model on a batch of the stream. weights [B, T]: of each token as a target."""
    config, device = run.config, run.world.device
    sources = batch.sources if run.sources else None
    batch = as_seen(batch, run.tokenizer.vocabulary, config.model.cross_attention.semantics, seed=config.stream.seed)
    with autocast(run):
        features = run.cache.features(batch.images, device) if run.cache and len(batch.images) else None
        batch = batch.to(device)
        output: Output = (run.stepped if is_training else run.model)(
            batch.input_ids,
            document_ids=batch.document_ids,
            position_ids=batch.position_ids,
            image_index=batch.image_index,
            images=batch.images,
            features=features,
            labels=batch.labels,
            weights=None if weights is None else weights.to(device),
            sources=None if sources is None else sources.to(device),
            num_sources=max(len(run.sources), 1),
            loss_chunk=config.loss_chunk,
            wants_logits=False,
        )
    return output


def autocast(run: TrainingRun) -> contextlib.AbstractContextManager[Any]:
    """Return what the model runs in, by the precision of the recipe."""
    is_bf16 = run.config.precision == "bf16"
    return torch.autocast(run.world.device.type, torch.bfloat16) if is_bf16 else contextlib.nullcontext()


def _forget_unused(run: TrainingRun, counts: _Counts) -> None:
    """Drop the zero gradients of what no token of any rank has used, so that AdamW leaves it alone as on one rank.

    Where ranks wait for each other, every parameter takes part in every step: see `InfiMM.is_uniform`.
    """
    if not run.model.is_uniform:
        return
    blocks: Any = list(run.model.cross_attention.values())
    unused: list[nn.Parameter] = []
    if counts.hardware.seeing == 0:
        unused += [p for block in blocks for p in (*block.attn.parameters(), block.attn_gate)]
        unused += [] if run.model.perceiver is None else list(run.model.perceiver.parameters())
    if counts.hardware.active == 0:
        unused += [p for block in blocks for p in (*block.ff.parameters(), block.ff_gate)]
    for parameter in unused:
        parameter.grad = None


def _batches(run: TrainingRun) -> tuple[list[Batch], _Counts | None]:
    """Return this rank's batches of a step, and what all ranks have, None at the stream's end; all stop together."""
    number = run.config.rows_per_step // (run.micro_rows * run.world.size)
    began, problem = time.monotonic(), None
    batches: list[Batch] = []
    try:
        batches = list(itertools.islice(run.stream, number))
    except InfiMMError as error:
        problem = error
    num_broken, num_ended, *rest = run.world.total(
        [problem is not None, problem is None and len(batches) < number, *_own_counts(run, batches)]
    )
    waited = time.monotonic() - began  # until the slowest rank has its rows: nobody begins before
    if num_broken:
        said = run.world.gather(None if problem is None else str(problem))
        rank, first = next((rank, one) for rank, one in enumerate(said) if one is not None)
        raise problem or InfiMMError(f"rank {rank}: {first}")
    if num_ended and batches:
        run.stream.failures.left_out("row_without_step", len(batches) * run.micro_rows, "rows at the end of the stream")
    return batches, None if num_ended else _counts(rest, waited)


def _own_counts(run: TrainingRun, batches: Sequence[Batch]) -> list[float]:
    """Return what the batches of this rank hold, as `_counts` takes the sums over ranks."""
    hardware, useful = NO_WORK, NO_WORK
    for batch in batches:
        computed, teaching = work_of(batch, run.config.model.cross_attention.semantics)
        hardware, useful = hardware + computed, useful + teaching
    return [
        sum(batch.num_targets for batch in batches),
        sum(batch.num_tokens for batch in batches),
        sum(batch.input_ids.numel() for batch in batches),
        sum(len(batch.images) for batch in batches),
        *(getattr(one, name) for one in (hardware, useful) for name in Work.__slots__),
        *_targets_by_source(run, batches),
    ]


def _counts(totals: Sequence[float], wait_s: float) -> _Counts:
    targets, tokens, slots, images = (int(one) for one in totals[:4])
    by_source = tuple(int(one) for one in totals[14:])
    return _Counts(targets, tokens, slots, images, by_source, Work(*totals[4:9]), Work(*totals[9:14]), wait_s)


def _targets_by_source(run: TrainingRun, batches: Sequence[Batch]) -> list[int]:
    """Return the targets of each source of the run, [] where the stream knows none."""
    found = torch.zeros(len(run.sources), dtype=torch.int64)
    for batch in batches if run.sources else ():
        found += torch.bincount(batch.sources[:, 1:][batch.labels[:, 1:] != IGNORED].long(), minlength=len(found))
    return [int(one) for one in found]


def _weights(run: TrainingRun, batch: Batch, counts: _Counts) -> Tensor | None:
    """Return what each token counts as a target, None where all count 1: see `loss_mean` of the recipe."""
    weights = list(run.sources.values())
    if run.config.loss_mean == "sources":
        if not run.sources:
            return torch.full(batch.input_ids.shape, 1 / max(counts.targets, 1))
        weights = [weight / max(n, 1) for weight, n in zip(weights, counts.by_source, strict=True)]
    elif all(weight == 1 for weight in weights):
        return None
    return torch.tensor([*weights, 0.0])[batch.sources.long()]  # -1, padding, is the last
