"""Ranks of a test: processes that join the group which their environment names, as under torchrun, and train.

They are forks of one process that has imported everything, as to import it takes longer than what they do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any
from unittest import mock

import pytest
import torch

from infimm_data.config import parse_settings
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import TrainConfig
from model.parallel import World, joined
from model.sample_captions import SampleCaptions
from model.train import train
from model.train_log import StepFacts
from model.train_step import take_step
from model.training_run import TrainingRun

declare_torchvision_ops()
import open_clip  # noqa: E402, F401  # for the forks
import transformers.models.llama.modeling_llama  # noqa: E402, F401

SECONDS = 200  # after which a rank counts as one that hangs

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([__name__])

Job = dict[str, Any]
"""config, data and out of a training; signal: (rank, step, signal) that this rank gives itself before this step (from
0), where the training is to end with it."""


def start(jobs: Sequence[Job], environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a process that does the jobs, one after the other."""
    process = forks.Process(target=_run, args=(list(jobs), dict(environment or {})), daemon=True)
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
    with joined("cpu") as world:
        for job in jobs:
            _train(job, world)


def _train(job: Job, world: World) -> None:
    config, data, out = parse_settings(job["config"], TrainConfig, where="test"), job["data"], job["out"]
    watch = SampleCaptions(data, out, config.stream)
    if "signal" not in job:
        train(config, data=data, out=out, watch=watch)
        return
    rank, at, number = job["signal"]

    def signalled(run: TrainingRun, step: int) -> StepFacts | None:
        if (world.rank, step) == (rank, at):
            signal.raise_signal(number)
        return take_step(run, step)

    with mock.patch("model.train.take_step", signalled), pytest.raises(KeyboardInterrupt, match=rf"step {at + 1} of"):
        train(config, data=data, out=out, watch=watch)
