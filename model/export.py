"""Training runs into the published layout, and a folder of either kind into a model that can speak."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from infimm_data.errors import ConfigError
from infimm_data.stream.templates import TemplateName
from model.checkpoint import load_model
from model.infimm import InfiMM
from model.tokenizer import Tokenizer, load_tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model in evaluation mode, its tokenizer, and how its prompts are written: as in training, or plain."""

    model: InfiMM
    tokenizer: Tokenizer
    template: TemplateName = "plain"


def load_speaker(path: str, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Speaker:
    """Return the model of a training run, of one of its checkpoints, or of a folder in the published layout.

    dtype: of the weights; None leaves them as they are stored. A published folder holds its tokenizer too. Raises
    ConfigError when there is no model, or when model and tokenizer do not belong together.
    """
    if not is_published(path):
        loaded = load_model(path, device=device)
        model = loaded.model.to(dtype) if dtype else loaded.model
        return Speaker(model, loaded.tokenizer, loaded.config.stream.template)
    model, tokenizer = InfiMM.from_pretrained(path, dtype=dtype, device=device), load_tokenizer(path)
    rows = model.num_tokens
    if tokenizer.size > rows:
        raise ConfigError(
            f"{path}: {tokenizer.size} tokens, but the model has {rows}; is it another model's tokenizer?"
        )
    return Speaker(model, tokenizer)


def is_published(path: str) -> bool:
    """Return whether a folder is in the published layout, and no training run's."""
    config = Path(path) / "config.json"
    return config.is_file() and '"cross_attn_every_n_layers"' in config.read_text(errors="replace")


def export(run: str, folder: str) -> int:
    """Write the last checkpoint of a run (or the one given) in the published layout, with its tokenizer.

    Returns the step it is of. Raises ConfigError when the run has no checkpoint.
    """
    loaded = load_model(run)
    vocabulary = loaded.tokenizer.vocabulary
    tokens = {
        "image_token_id": vocabulary.image,
        "eoc_token_id": vocabulary.end_of_chunk,
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
        "pad_token_id": vocabulary.pad,
    }
    loaded.model.save_pretrained(folder, tokens=tokens)
    loaded.tokenizer.save(folder)
    log.info("exported=%s step=%d", folder, loaded.step)
    return loaded.step
