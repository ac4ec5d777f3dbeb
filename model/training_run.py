"""What a training run holds, how it starts, goes on from a checkpoint, and becomes one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from infimm_data.errors import ConfigError
from infimm_data.stream.stream import Stream
from model.checkpoint import check_elsewhere, check_recipe, read_tensors, shapes_of
from model.checkpoint_writer import CheckpointWriter
from model.compiling import compile_model
from model.config import TrainConfig
from model.feature_cache import FeatureCache
from model.flops import Flops, count_flops
from model.infimm import InfiMM, build_model, vision_of
from model.language import stack_of
from model.optimizer import build_optimizer
from model.parallel import World, spread
from model.start import start_from
from model.stopping import Stop
from model.tokenizer import Tokenizer, load_tokenizer
from model.train_board import check_tensorboard
from model.train_state import (
    RANDOM,
    elsewhere,
    empty_moments,
    moments,
    random_state,
    set_random_state,
    weights,
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TrainingRun:
    """What a step works on. stepped: what a step calls, `model` or what spreads it over ranks.

    micro_rows: rows in one forward pass of one rank; sources: name -> loss weight of the stream's datasets, by
    their numbers, {} where there is one alone; left_out: part -> fingerprint of what checkpoints do not hold.
    """

    config: TrainConfig
    world: World
    model: InfiMM
    stepped: nn.Module
    tokenizer: Tokenizer
    optimizer: torch.optim.Optimizer
    stream: Stream
    micro_rows: int
    sources: dict[str, float]
    left_out: dict[str, str]
    flops: Flops
    cache: FeatureCache | None
    stop: Stop


def begin(
    config: TrainConfig, world: World, *, data: str, start: str | None, asks_to_stop: Callable[[], bool] | None = None
) -> TrainingRun:
    """Build everything at step 0. start: a run, checkpoint or published folder that gives the first weights;
    asks_to_stop: looked at once a step, beside the signals.

    Raises ConfigError for what the recipe, the data or `start` lacks.
    """
    micro_rows = rows_of_rank(config, world)
    if config.tensorboard:
        check_tensorboard()
    tokenizer = load_tokenizer(config.model.tokenizer)
    model = build_model(config.model, tokenizer, seed=config.seed).train()
    if config.stream.row_tokens > model.max_tokens:
        raise ConfigError(
            f"stream.row_tokens {config.stream.row_tokens}: a document may fill a row, and the language model has "
            f"positions for {model.max_tokens} tokens; lower it"
        )
    left_out = elsewhere(model, config.model, config.train)
    if start is not None:
        start_from(model, start)
        left_out = _unchanged(left_out, elsewhere(model, config.model, config.train), start)
    model.set_trainable(config.train)
    set_precision(model, is_bf16=config.precision == "bf16")
    model.recomputes = config.activation_checkpointing
    tower, digest = vision_of(model), left_out["vision"]
    stream = Stream(
        data,
        tokenizer.vocabulary,
        config.stream,
        image_side=tower.image_side,
        rows=micro_rows,
        rank=world.rank,
        world=world.size,
    )
    flops = count_flops(model)
    if config.compile:
        compile_model(model)
    stepped = spread(model, world, config.parallel, is_bf16=config.precision == "bf16")
    cache = None
    if config.feature_cache is not None:
        limit = int(config.feature_cache.max_gb * 1e9)
        folder = config.feature_cache.folder
        cache = FeatureCache(folder, tower, max_bytes=limit, digest=digest, precision=config.precision)
    optimizer = build_optimizer(model, config.optimizer)
    return TrainingRun(
        config, world, model, stepped, tokenizer, optimizer, stream, micro_rows, sources_of(stream), left_out, flops,
        cache, Stop(world, asks_to_stop),
    )  # fmt: skip


def sources_of(stream: Stream) -> dict[str, float]:
    """Return the datasets of a mixture with their loss weights; {} for a stream of one dataset with weight 1."""
    names, loss_weights = stream.source_names, stream.loss_weights
    return {} if loss_weights == (1.0,) else dict(zip(names, loss_weights, strict=True))


def rows_of_rank(config: TrainConfig, world: World) -> int:
    """Return the rows in one forward pass of one rank; raises ConfigError where the step cannot be dealt out evenly."""
    rows = config.micro_rows or config.rows_per_step // world.size
    if rows == 0 or config.rows_per_step % (rows * world.size):
        each = "" if config.micro_rows is None else f" of micro_rows {config.micro_rows}"
        raise ConfigError(
            f"rows_per_step {config.rows_per_step} is no multiple of {world.size} ranks{each}; all ranks take as many "
            "rows: change one of them, or the number of processes"
        )
    return rows


def set_precision(model: InfiMM, *, is_bf16: bool) -> None:
    """fp32 for all; or bf16 for the frozen vision tower and frozen decoder layers, whose matrices autocast would cast.

    What trains stays fp32, and so do embeddings, last norm and head: they make the residual stream and the scores.
    Buffers stay as they are: a mean colour in bf16 is off by a grey level.
    """
    layers = getattr(cast(Any, model.language), stack_of(model.language).root).layers
    half = {id(p) for part in (model.vision, layers) for p in part.parameters() if is_bf16 and not p.requires_grad}
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16 if id(parameter) in half else torch.float32)


def save(run: TrainingRun, writer: CheckpointWriter, step: int) -> None:
    """Begin the checkpoint of a step; every rank calls it."""
    tensors = {
        **weights(run.model, run.left_out),
        **moments(run.model, run.optimizer),
        **random_state(run.world.rank, run.world.device),
    }
    about = {
        "step": step,
        "elsewhere": run.left_out,
        "stream": run.stream.state_dict(),
        "config": run.config.model_dump(mode="json"),
    }
    writer.save(step, tensors, about, run.tokenizer)


def resume(run: TrainingRun, folder: Path) -> int:
    """Fill the run from a checkpoint, on any number of ranks; return its step.

    Raises ConfigError when recipe, data, frozen parts or files are not those of the run.
    """
    about = check_recipe(folder, run.config)
    if (found := about["elsewhere"]) != run.left_out:
        if found.keys() == run.left_out.keys():
            check_elsewhere(run.model, folder, found)
        raise ConfigError(f"{folder}: leaves out other parts ({', '.join(found)}) than the recipe; use the old recipe")
    shapes = shapes_of(folder)
    random = {
        name: torch.empty(shapes[name], dtype=torch.uint8)
        for name in random_state(run.world.rank, run.world.device)
        if name in shapes
    }
    wanted = weights(run.model, run.left_out) | empty_moments(run.model, run.optimizer, shapes) | random
    read_tensors(folder, wanted, is_alone=run.world.size == 1)
    run.stream.load_state_dict(about["stream"])
    set_random_state(
        {name: wanted[name] for name in wanted if name.startswith(RANDOM)}, run.world.rank, run.world.device
    )
    log.info("resumed=%s step=%d", folder, about["step"])
    return int(about["step"])


def _unchanged(before: dict[str, str], after: dict[str, str], start: str) -> dict[str, str]:
    """Return the parts that `start` left as the recipe loads them; its vision tower must be the recipe's."""
    if before["vision"] != after["vision"]:
        raise ConfigError(f"--from {start}: another vision tower than model.vision; name that one in the recipe")
    return {part: fingerprint for part, fingerprint in before.items() if after[part] == fingerprint}
