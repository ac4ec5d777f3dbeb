"""One process or many, one code: who takes part, how the model is spread over them, what they add up.

Without a launcher there is one rank. Under torchrun, or inside a Ray Train worker, the ranks are those of its process
group: DDP keeps the whole model on each and adds up gradients, FSDP2 shards weights, gradients and moments.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
from torch import nn

from infimm_data.errors import ConfigError
from model.infimm import InfiMM
from model.language import stack_of


@dataclass(frozen=True, slots=True)
class World:
    """One process among all of a run. device: where its share of the model lives."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the log and speaks."""
        return self.rank == 0

    def total(self, values: Iterable[float]) -> list[float]:
        """Return the sums over all ranks; every rank must ask, with as many values (exact below 2**53)."""
        found = torch.tensor(list(values), dtype=torch.float64)
        if self.size > 1:
            found = found.to(self.device)
            dist.all_reduce(found)
        return cast(list[float], found.tolist())

    def gather(self, value: Any) -> list[Any]:
        """Return the value (plain data) of every rank, by rank; every rank must ask."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found


@contextlib.contextmanager
def joined(device: Literal["auto", "cpu", "cuda"]) -> Iterator[World]:
    """Join the process group that the launcher's environment names, if any, and leave it at the end.

    A group that is there already (Ray Train's, a test's) is used and left alone. Raises ConfigError for a device that
    is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: 'cuda', but there is no CUDA device here; use auto or cpu")
    is_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if is_cuda else torch.device("cpu")
    if is_cuda:
        torch.cuda.set_device(place)
    owns = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized()
    if owns:
        dist.init_process_group("cpu:gloo,cuda:nccl" if is_cuda else "gloo")
    try:
        if dist.is_initialized():
            yield World(place, dist.get_rank(), dist.get_world_size())
        else:
            yield World(place)
    finally:
        if owns:
            dist.destroy_process_group()


def spread(model: InfiMM, world: World, kind: Literal["auto", "ddp", "fsdp"], *, is_bf16: bool) -> nn.Module:
    """Move the model to where it trains; return what a training step calls in its place.

    The vision tower stays whole on every rank: it is frozen, small beside the language model, and to gather it again
    for every pass would cost more than it saves.
    """
    if world.size == 1:
        return model.to(world.device)
    model.is_uniform = True
    if kind == "ddp":
        model.to(world.device)
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
    _shard(model, world, is_bf16=is_bf16)
    return model


def units_of(model: InfiMM) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return what is gathered as one where the model is sharded: perceiver and parts of blocks, and decoder layers.

    A unit that lies in another comes first. Embeddings, last norm and head are in none: whole for as long as a step
    works. The vision tower is whole at all times.
    """
    blocks = cast(Any, model.cross_attention).values()
    perceiver = [] if model.perceiver is None else [model.perceiver]
    layers = getattr(cast(Any, model.language), stack_of(model.language).root).layers
    return [*perceiver, *(block.attn.to_kv for block in blocks), *blocks], list(layers)


def _shard(model: InfiMM, world: World, *, is_bf16: bool) -> None:
    """Shard in the units that run as one: a layer's weights are whole only while it runs.

    bf16: decoder layers are gathered in bf16 and reduced in fp32; connectors stay fp32, as their norms on one device.
    The projection to keys and values is a unit of its own, as it runs before its block.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # A block returns a view of its sum; nothing after it works in place, which is what torch warns of at every start.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(world.device.type, (world.size,))
    half = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if is_bf16 else None,
        reduce_dtype=torch.float32 if is_bf16 else None,
        cast_forward_inputs=False,
    )
    model.vision.to(world.device)
    connectors, layers = units_of(model)
    for unit in connectors:
        fully_shard(unit, mesh=mesh)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=half)
    fully_shard(model, mesh=mesh, ignored_params=set(model.vision.parameters()))
    for buffer in model.buffers():
        buffer.data = buffer.data.to(world.device)


@contextlib.contextmanager
def whole_outside_layers(model: nn.Module) -> Iterator[None]:
    """Within: what FSDP2 shards in no unit of its own (embeddings, last norm, head) is whole on every rank.

    For calls of the parts, which do not pass through the model's own `forward`; units gather themselves.
    """
    from torch.distributed.fsdp import FSDPModule

    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


@contextlib.contextmanager
def micro_step(stepped: nn.Module, *, is_last: bool) -> Iterator[None]:
    """Within: one forward and backward of a step. DDP adds up gradients over ranks in the last alone.

    FSDP2 adds them up in each: whole gradients of what it shards would not fit.
    """
    is_ddp = isinstance(stepped, nn.parallel.DistributedDataParallel)
    with cast(Any, stepped).no_sync() if is_ddp and not is_last else contextlib.nullcontext():
        yield


def clip(parameters: list[nn.Parameter], max_norm: float) -> float:
    """Scale all gradients of all ranks to a common norm of at most `max_norm`; return the norm before."""
    norm: Any = nn.utils.clip_grad_norm_(parameters, max_norm)
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
