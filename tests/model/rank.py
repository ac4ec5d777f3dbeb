"""Ranks of a test: processes that join the group which their environment names, as under torchrun, and train.

They are forks of one process that has imported everything, as to import it takes longer than what they do.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from infimm_data.config import parse_settings
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import TrainConfig
from model.parallel import joined
from model.train import train

declare_torchvision_ops()
import open_clip  # noqa: E402, F401  # for the forks
import transformers.models.llama.modeling_llama  # noqa: E402, F401

SECONDS = 200  # after which a rank counts as one that hangs

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])

Job = dict[str, Any]
"""config, data and out of a training."""


def start(jobs: Sequence[Job], environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a process that does the jobs, one after the other."""
    process = _forks.Process(target=_run, args=(list(jobs), dict(environment or {})), daemon=True)
    process.start()
    return process


def run_ranks(jobs: Sequence[Job], count: int = 2) -> None:
    """Do the jobs in `count` processes with the environment of torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    ranks = [start(jobs, fixed | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]
    for rank in ranks:
        rank.join(SECONDS)
    assert [rank.exitcode for rank in ranks] == [0] * count, "what they said is in the captured output"


def _run(jobs: list[Job], environment: dict[str, str]) -> None:
    warnings.simplefilter("ignore")
    os.environ.update(environment)
    torch.set_num_threads(1)
    with joined("cpu"):
        for job in jobs:
            train(parse_settings(job["config"], TrainConfig, where="test"), data=job["data"], out=job["out"])
