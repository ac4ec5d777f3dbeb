"""The log of a training run: metrics.jsonl, one line per logged step, averaged since the line before.

loss: nats per target, mean over targets · tokens_per_s: text tokens, padding not counted · data_wait: share of the
time spent waiting for the stream · fill: share of the slots that are not padding · images: per step · grad_norm: before
clipping, of the last step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infimm_data.files import write_bytes

Clock = Callable[[], float]


@dataclass(slots=True)
class StepFacts:
    """What one optimizer step did. loss_sum: nats over all targets; wait_s: seconds waited for data."""

    loss_sum: float
    num_targets: int
    num_tokens: int
    num_slots: int
    num_images: int
    wait_s: float
    learning_rate: float
    grad_norm: float


class TrainLog:
    """Collects steps and writes their averages."""

    def __init__(self, path: Path, *, from_step: int, clock: Clock = time.monotonic) -> None:
        """Open the file; lines after `from_step` belong to a run that was cut off, and are dropped.

        `last_loss` is the last logged loss that stays, NaN when there is none.
        """
        self._path, self._clock = path, clock
        kept = [line for line in read_metrics(path) if line["step"] <= from_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(str(path), "".join(json.dumps(line) + "\n" for line in kept).encode())
        self.last_loss: float = next((line["loss"] for line in reversed(kept) if "loss" in line), math.nan)
        self._steps: list[StepFacts] = []
        self._since = clock()

    def add(self, facts: StepFacts) -> None:
        """Count one step."""
        self._steps.append(facts)

    def write(self, step: int) -> dict[str, Any]:
        """Write and return the line of a step (counted from 1); starts the next average."""
        steps, now = self._steps, self._clock()
        seconds = max(now - self._since, 1e-9)
        line = {
            "step": step,
            "loss": sum(s.loss_sum for s in steps) / max(sum(s.num_targets for s in steps), 1),
            "tokens_per_s": sum(s.num_tokens for s in steps) / seconds,
            "data_wait": sum(s.wait_s for s in steps) / seconds,
            "fill": sum(s.num_tokens for s in steps) / max(sum(s.num_slots for s in steps), 1),
            "images": sum(s.num_images for s in steps) / len(steps),
            "learning_rate": steps[-1].learning_rate,
            "grad_norm": steps[-1].grad_norm,
        }
        self._append(line)
        self._steps, self._since = [], now
        return line

    def write_heldout(self, step: int, loss: float, *, seconds: float) -> None:
        """Write a line with the held-out loss after a step; the seconds it took count for no step."""
        self._append({"step": step, "heldout_loss": loss})
        self._since += seconds

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


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
