"""A checkpoint of weights alone, as tests of what reads one need it."""

from __future__ import annotations

import torch

from model.checkpoint_writer import CheckpointWriter
from model.config import TrainConfig
from model.infimm import InfiMM
from model.parallel import World
from model.tokenizer import Tokenizer
from model.train_state import elsewhere, weights


def save_weights(out: str, *, step: int, model: InfiMM, tokenizer: Tokenizer, config: TrainConfig) -> None:
    """Write the weights of a model as the checkpoint of a step, without a run around it."""
    left_out = elsewhere(model, config.model, config.train)
    about = {"step": step, "elsewhere": left_out, "config": config.model_dump(mode="json")}
    with CheckpointWriter(out, World(torch.device("cpu")), keep=1) as writer:
        writer.save(step, weights(model, left_out), about, tokenizer)
