"""TensorBoard: the lines of metrics.jsonl as curves, for `tensorboard --logdir RUN`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infimm_data.errors import ConfigError


def check_tensorboard() -> None:
    """Raise ConfigError when tensorboard is not installed; every rank asks, so that none waits for one that stopped."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("tensorboard: true, but it is not installed; pip install tensorboard, or set it to false")


class Board:
    """Writes scalars to RUN/tensorboard; one of a map (loss_by_source) becomes MAP/NAME."""

    def __init__(self, folder: Path, *, from_step: int) -> None:
        """Open the folder; what an earlier run wrote there after `from_step` is no longer shown."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._writer: Any = SummaryWriter(str(folder), purge_step=from_step + 1)

    def add(self, line: Mapping[str, Any]) -> None:
        """Write the numbers of a line at its step."""
        for name, value in line.items():
            values = (
                {f"{name}/{one}": number for one, number in value.items()} if isinstance(value, dict) else {name: value}
            )
            for tag, number in values.items():
                if tag != "step":
                    self._writer.add_scalar(tag, number, line["step"])

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()
