"""A tiny random checkpoint, and six drawn pictures per split in official layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.conftest import TOKENIZER


@pytest.fixture(scope="session")
def checkpoint(clip_folder, tmp_path_factory) -> str:
    from infimm_data.config import parse_settings
    from model.config import TrainConfig
    from model.infimm import build_model
    from model.tokenizer import load_tokenizer
    from tests.model.saved import save_weights

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = {
        "model": {
            "tokenizer": TOKENIZER,
            "vision": {"name": f"local-dir:{clip_folder}"},
            "perceiver": {"layers": 1, "latents": 2, "heads": 2, "head_width": 8, "ff_multiple": 2},
            "cross_attention": {"heads": 2, "head_width": 8, "ff_multiple": 2, "gate_start": 0.7},
            "language": {
                "config": {"model_type": "llama", "pad_token_id": None, "initializer_range": 0.3, **sizes}
            },
        },
        "steps": 1, "rows_per_step": 1,
    }  # fmt: skip
    config = parse_settings(settings, TrainConfig, where="test")
    tokenizer = load_tokenizer(TOKENIZER)
    out = tmp_path_factory.mktemp("run")
    model = build_model(config.model, tokenizer, seed=3)
    save_weights(str(out), step=1, model=model, tokenizer=tokenizer, config=config)
    return str(out)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    from pipelines.demo.make_benchmarks import make_benchmarks

    folder = tmp_path_factory.mktemp("drawn")
    make_benchmarks(str(folder), pictures=6)
    return folder


@pytest.fixture
def recipe(drawn):
    """Make a recipe of colour questions about the drawn pictures."""
    from infimm_data.config import parse_settings
    from model.evaluation.recipe import EvalRecipe

    def files(split: str) -> dict[str, str]:
        names = {"questions": f"questions.{split}.json", "references": f"answers.{split}.json", "images": "pictures"}
        return {key: str(drawn / name) for key, name in names.items()}

    def made(**changed) -> EvalRecipe:
        whole = {
            "task": "vqav2",
            "files": files("test"),
            "prompt": "<image>{question}",
            "demonstration": "<image>{question} {answer}.<|endofchunk|>",
            "separator": "",
            "demonstrations": {"files": files("train")},
            "zero_shot": "nothing",
            "max_new_tokens": 3,
            "batch": 2,
        }
        return parse_settings(whole | changed, EvalRecipe, where="test")

    return made
