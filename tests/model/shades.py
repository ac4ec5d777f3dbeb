"""Shards of grey pictures and the words for them, and the recipe of a model that trains on them in seconds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from model.train_log import read_metrics
from tests.infimm_data.stream.conftest import png
from tests.model.conftest import TOKENIZER

WORDS = ("dark", "grey", "light")


def document(number: int, rng: random.Random, *, has_picture: bool = True) -> Sample:
    """A picture of one grey and the word for it, after a sentence that tells nothing."""
    shade = rng.randrange(3)
    before, after = TextNode(text=f"Page {number} has a picture."), TextNode(text=f"It is {WORDS[shade]}.")
    grey, origin = 20 + 100 * shade + rng.randrange(20), Origin(dump="shades", offset=number)
    if not has_picture:
        return Sample(new_document((before, after), origin), {})
    picture = ImageNode(url=f"http://example.org/{number}.png", file="0.png")
    return Sample(new_document((before, picture, after), origin), {"0.png": png(grey, (16, 16))})


def write_shades(folder: str, count: int, *, every: int = 1) -> str:
    """Write `count` documents, of which each `every`-th has a picture."""
    rng = random.Random(4)
    documents = [document(i, rng, has_picture=i % every == 0) for i in range(count)]
    write_manifest(folder, [write_shard(folder, 0, documents)])
    return folder


def settings(clip_folder: str | Path, **changed: Any) -> dict[str, Any]:
    """Return a recipe with some keys changed."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    whole = {
        "model": {
            "tokenizer": TOKENIZER,
            "vision": {"name": f"local-dir:{clip_folder}"},
            "perceiver": {"layers": 1, "latents": 2, "heads": 2, "head_width": 8, "ff_multiple": 2},
            "cross_attention": {"heads": 2, "head_width": 8, "ff_multiple": 2, "gate_start": 0.5},
            "language": {"config": {"model_type": "llama", "pad_token_id": None, **sizes}},
        },
        "stream": {"row_tokens": 64, "holdout_fraction": 0.2, "window_documents": 16},
        "optimizer": {"learning_rate": 1e-2, "warmup_steps": 2},
        "train": ["perceiver", "cross_attention", "language"],
        "steps": 6, "rows_per_step": 4, "log_every": 1, "checkpoint_every": 2, "keep_checkpoints": 9,
        "tensorboard": False,
    }  # fmt: skip
    return whole | changed


def losses(out: str | Path) -> list[float]:
    """Return the logged training losses of a run."""
    return [line["loss"] for line in read_metrics(Path(out) / "metrics.jsonl") if "loss" in line]
