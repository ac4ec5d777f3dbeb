"""The training loop: shards in, checkpoints and metrics out; a resumed run equals one that never stopped.

    result = train(load_settings("configs/train/demo.yaml", TrainConfig), data="OUT/shards", out="OUT/train")

Writes OUT/metrics.jsonl and OUT/checkpoints/step-*.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.progress import Track
from infimm_data.stream.batch import Batch
from infimm_data.stream.stream import Stream, one_pass
from model.checkpoint import (
    checkpoints,
    load_into,
    load_training,
    remove_checkpoints_after,
    save_checkpoint,
)
from model.config import TrainConfig
from model.infimm import InfiMM, Output, build_model, vision_of
from model.optimizer import build_optimizer, learning_rate
from model.semantics import as_seen
from model.tokenizer import Tokenizer, load_tokenizer
from model.train_log import StepFacts, TrainLog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a run ended. Losses in nats per target; heldout_loss is None without held-out documents.

    seconds: of this call, without what an earlier call of a resumed run took; num_tokens: text tokens seen by it;
    skipped: "document:REASON" or "image:REASON" -> how many were read and left out.
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


@dataclass(slots=True)
class _Run:
    """What a step works on."""

    config: TrainConfig
    model: InfiMM
    tokenizer: Tokenizer
    optimizer: torch.optim.Optimizer
    stream: Stream
    device: torch.device


def train(config: TrainConfig, *, data: str, out: str, resume: bool = True) -> TrainResult:
    """Train as the recipe says and return how it ended.

    data: a folder of shards; out: where checkpoints and metrics go; resume: go on from the last checkpoint in
    `out` if there is one, else start over and remove the checkpoints that are there. Raises ConfigError for wrong
    input, ShardError for damaged shards, InfiMMError when the loss is not a number.
    """
    started = time.monotonic()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    run = _start(config, data)
    with run.stream:
        finished = checkpoints(out) if resume else []
        first_step = _resume(run, finished[-1]) if finished else 0
        remove_checkpoints_after(out, first_step)
        journal = TrainLog(Path(out) / "metrics.jsonl", from_step=first_step)
        loss, num_tokens, place = journal.last_loss, 0, finished[-1] if finished else None
        heldout: tuple[float, int] | None = None
        with Track("train", config.steps - first_step, unit="steps") as track:
            for step in range(first_step + 1, config.steps + 1):
                facts = _step(run, step - 1)
                journal.add(facts)
                num_tokens += facts.num_tokens
                is_last = step == config.steps
                if is_last or step % config.log_every == 0:
                    loss = journal.write(step)["loss"]
                track.advance(note=f"loss {facts.loss_sum / max(facts.num_targets, 1):.3f}")
                if is_last or _is_due(step, config.checkpoint_every):
                    place = _save(run, out, step)
                if is_last or _is_due(step, config.evaluate_every):
                    asked = time.monotonic()
                    heldout = _evaluate(run, data)
                    if heldout is not None:
                        journal.write_heldout(step, heldout[0], seconds=time.monotonic() - asked)
    if heldout is None:  # a finished run, called again
        heldout = _evaluate(run, data)
    return TrainResult(
        steps=config.steps,
        train_loss=loss,
        heldout_loss=heldout[0] if heldout else None,
        heldout_targets=heldout[1] if heldout else 0,
        num_tokens=num_tokens,
        seconds=time.monotonic() - started,
        skipped=run.stream.failures.counts(),
        checkpoint=str(place),
        metrics=str(Path(out) / "metrics.jsonl"),
    )


def _start(config: TrainConfig, data: str) -> _Run:
    """Build everything at step 0."""
    device = torch.device(config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(config.model.tokenizer)
    model = build_model(config.model, tokenizer, seed=config.seed).to(device).train()
    model.set_trainable(config.train)
    stream = Stream(
        data,
        tokenizer.vocabulary,
        config.stream,
        image_side=vision_of(model).image_side,
        rows=config.micro_rows or config.rows_per_step,
    )
    return _Run(config, model, tokenizer, build_optimizer(model, config.optimizer), stream, device)


def _step(run: _Run, step: int) -> StepFacts:
    """Take one optimizer step (counted from 0) on `rows_per_step` rows.

    The loss is the mean over all targets of the step: micro-batches are summed and divided once, as a mean of
    their means would weigh a target by how empty its micro-batch is.
    """
    config, waited = run.config, time.monotonic()
    micro_steps = config.rows_per_step // (config.micro_rows or config.rows_per_step)
    batches = [next(run.stream) for _ in range(micro_steps)]
    wait_s = time.monotonic() - waited
    num_targets = sum(batch.num_targets for batch in batches)
    rate = learning_rate(step, config.steps, config.optimizer)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss_sum = torch.zeros((), device=run.device)
    for batch in batches:
        out = _forward(run, batch)
        assert out.loss_sum is not None
        (out.loss_sum / max(num_targets, 1)).backward()  # type: ignore[no-untyped-call]  # torch's own
        loss_sum += out.loss_sum.detach()
    trainable = [p for group in run.optimizer.param_groups for p in group["params"]]
    grad_norm = float(torch.nn.utils.clip_grad_norm_(trainable, config.optimizer.max_grad_norm))
    if not (math.isfinite(float(loss_sum)) and math.isfinite(grad_norm)):
        raise InfiMMError(
            f"step {step + 1}: loss {float(loss_sum):.4g}, gradient norm {grad_norm:.4g}, expected finite numbers; "
            "the last checkpoint is from before it: lower optimizer.learning_rate, or look at the documents of the step"
        )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return StepFacts(
        loss_sum=float(loss_sum),
        num_targets=num_targets,
        num_tokens=sum(batch.num_tokens for batch in batches),
        num_slots=sum(batch.input_ids.numel() for batch in batches),
        num_images=sum(len(batch.images) for batch in batches),
        wait_s=wait_s,
        learning_rate=rate,
        grad_norm=grad_norm,
    )


def _forward(run: _Run, batch: Batch) -> Output:
    seen = run.config.model.cross_attention.semantics
    batch = as_seen(batch, run.tokenizer.vocabulary, seen, seed=run.config.stream.seed).to(run.device)
    is_mixed = run.config.precision == "bf16"
    with torch.autocast(run.device.type, torch.bfloat16) if is_mixed else contextlib.nullcontext():
        output: Output = run.model(
            batch.input_ids,
            document_ids=batch.document_ids,
            position_ids=batch.position_ids,
            image_index=batch.image_index,
            images=batch.images,
            labels=batch.labels,
        )
    return output


def _evaluate(run: _Run, data: str) -> tuple[float, int] | None:
    """Return held-out loss and its number of targets, or None when nothing is held out."""
    config = run.config
    if config.stream.holdout_fraction == 0:
        return None
    rows = config.micro_rows or config.rows_per_step
    batches = one_pass(
        data, run.tokenizer.vocabulary, config.stream, image_side=vision_of(run.model).image_side, rows=rows
    )
    run.model.eval()
    try:
        return _mean_loss(run, batches)
    finally:
        run.model.train()


@torch.no_grad()
def _mean_loss(run: _Run, batches: Iterable[Batch]) -> tuple[float, int]:
    """Return the mean loss over all targets of some batches, and their number."""
    total, targets = 0.0, 0
    for batch in batches:
        out = _forward(run, batch)
        assert out.loss_sum is not None
        total, targets = total + float(out.loss_sum), targets + out.num_targets
    return total / max(targets, 1), targets


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _save(run: _Run, out: str, step: int) -> Path:
    random = {"cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(run.device)
    training = {
        "optimizer": run.optimizer.state_dict(),
        "stream": run.stream.state_dict(),
        "random": random,
    }
    place = save_checkpoint(
        out,
        step=step,
        model=run.model,
        tokenizer=run.tokenizer,
        config=run.config,
        training=training,
        keep=run.config.keep_checkpoints,
    )
    log.info("checkpoint=%s step=%d", place, step)
    return place


def _resume(run: _Run, folder: Path) -> int:
    """Fill the run from a checkpoint; return its step."""
    step, training = load_training(folder, run.config)
    if step > run.config.steps:
        asked = f"the run is at step {step}, but the recipe asks for {run.config.steps} in all"
        raise ConfigError(f"{folder}: {asked}; raise 'steps', or start anew with --restart")
    load_into(run.model, folder)
    run.optimizer.load_state_dict(training["optimizer"])
    run.stream.load_state_dict(training["stream"])
    torch.set_rng_state(training["random"]["cpu"])
    if run.device.type == "cuda" and "cuda" in training["random"]:
        torch.cuda.set_rng_state(training["random"]["cuda"], run.device)
    log.info("resumed=%s step=%d", folder, step)
    return step
