"""The log of a training run: metrics.jsonl, one line per logged step, averaged since the line before.

All of it over all ranks. loss: nats per target, mean over targets · loss_by_source: the same of each source, where
there are several · tokens_per_s: text tokens, padding not counted · data_wait: share of the time that the slowest rank
waited for the stream · fill: share of the slots that are not padding · images: per step · grad_norm: before clipping,
of the last step · hardware_tflops, useful_tflops: per device, in 1e12 operations per second (see `model.flops`): of
all slots, over the time without the waiting; of what teaches, over all of the time · hardware_mfu, useful_mfu: the same
as shares of the device's peak, where that is known · cache_hits: share of the images whose features were on disk ·
memory_gb: most that CUDA's allocator of rank 0 has held since the run began · stream: where the next step's rows begin,
from which `infimm explain` finds the rows of any step.

The same numbers go to TensorBoard, which is written from these lines.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from infimm_data.files import write_bytes
from model.train_board import Board

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class StepFacts:
    """What one optimizer step did, over all ranks. loss_sum: nats over all targets; wait_s: seconds waited for data.

    by_source: source -> (nats, targets), {} where there is one source alone; hardware_flops, useful_flops: operations
    of all slots and of what teaches; cache_hits: images whose features were on disk, None without a cache.
    """

    loss_sum: float
    num_targets: int
    num_tokens: int
    num_slots: int
    num_images: int
    wait_s: float
    learning_rate: float
    grad_norm: float
    by_source: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    hardware_flops: float = 0.0
    useful_flops: float = 0.0
    cache_hits: int | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """What a run trains on. peak_tflops: of one device, None where it is not known; is_cuda: whether memory counts."""

    count: int = 1
    peak_tflops: float | None = None
    is_cuda: bool = False


ONE_CPU = Devices()


class TrainLog:
    """Collects steps and writes their averages."""

    def __init__(
        self,
        path: Path,
        *,
        from_step: int,
        devices: Devices = ONE_CPU,
        board: Board | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Open the file; lines after `from_step` belong to a run that was cut off, and are dropped.

        board: gets every line as well. `last_loss` is the last logged loss, NaN when there is none.
        """
        self._path, self._devices, self._board, self._clock = path, devices, board, clock
        kept = [line for line in read_metrics(path) if line["step"] <= from_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(str(path), "".join(json.dumps(line) + "\n" for line in kept).encode())
        self.last_loss: float = next((line["loss"] for line in reversed(kept) if "loss" in line), math.nan)
        self._heldout = {line["step"] for line in kept if "heldout_loss" in line}
        self._steps: list[StepFacts] = []
        self._since = clock()

    @property
    def has_steps(self) -> bool:
        """Whether steps were added since the last line."""
        return bool(self._steps)

    def has_heldout(self, step: int) -> bool:
        """Whether the file had a held-out loss after a step when it was opened."""
        return step in self._heldout

    def add(self, facts: StepFacts) -> None:
        """Count one step."""
        self._steps.append(facts)

    def write(self, step: int, *, stream: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write and return the line of a step (counted from 1); starts the next average.

        stream: the position after the step.
        """
        steps, now = self._steps, self._clock()
        seconds = max(now - self._since, 1e-9)
        waited = sum(s.wait_s for s in steps)
        line = {
            "step": step,
            "loss": sum(s.loss_sum for s in steps) / max(sum(s.num_targets for s in steps), 1),
            **_by_source(steps),
            "tokens_per_s": sum(s.num_tokens for s in steps) / seconds,
            "data_wait": waited / seconds,
            "fill": sum(s.num_tokens for s in steps) / max(sum(s.num_slots for s in steps), 1),
            "images": sum(s.num_images for s in steps) / len(steps),
            "learning_rate": steps[-1].learning_rate,
            "grad_norm": steps[-1].grad_norm,
            **self._speed(seconds, waited),
        }
        hits = [s.cache_hits for s in steps if s.cache_hits is not None]
        if hits:
            line["cache_hits"] = sum(hits) / max(sum(s.num_images for s in steps), 1)
        if self._devices.is_cuda:
            line["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        if self._board is not None:
            self._board.add(line)
        self._append(line if stream is None else line | {"stream": stream})
        self._steps, self._since, self.last_loss = [], now, line["loss"]
        return line

    def _speed(self, seconds: float, waited: float) -> dict[str, float]:
        """Return operations per second of a device; and as shares of its peak, where that is known."""
        scale = 1e12 * self._devices.count
        hardware = sum(s.hardware_flops for s in self._steps) / max(seconds - waited, 1e-9) / scale
        useful = sum(s.useful_flops for s in self._steps) / seconds / scale
        found = {"hardware_tflops": hardware, "useful_tflops": useful}
        peak = self._devices.peak_tflops
        return found if peak is None else found | {"hardware_mfu": hardware / peak, "useful_mfu": useful / peak}

    def write_heldout(self, step: int, loss: float, *, seconds: float) -> None:
        """Write a line with the held-out loss after a step; the seconds it took count for no step."""
        line = {"step": step, "heldout_loss": loss}
        if self._board is not None:
            self._board.add(line)
        self._append(line)
        self._since += seconds

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _by_source(steps: Sequence[StepFacts]) -> dict[str, dict[str, float]]:
    """Return the mean loss of each source that had a target; {} where steps know no sources."""
    names = sorted({name for facts in steps for name in facts.by_source})
    found = {}
    for name in names:
        sums = [facts.by_source.get(name, (0.0, 0)) for facts in steps]
        if targets := sum(number for _, number in sums):
            found[name] = sum(nats for nats, _ in sums) / targets
    return {"loss_by_source": found} if found else {}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl; [] when there is none. A last line cut off by a crash is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
