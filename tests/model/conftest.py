"""A tiny InfiMM with open gates, and a tiny open_clip folder."""

import json
from pathlib import Path

import pytest
import torch

TOKENIZER = "package:pipelines.demo/data/tokenizer"
SIDE = 16


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Patches(torch.nn.Module):
    """Stands in for a vision tower: 4 patches of 8 x 8 pixels, each projected."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = torch.nn.Conv2d(3, width, 8, 8)

    def forward(self, images):
        return self.project(images).flatten(2).transpose(1, 2)


def tiny_model(*, gate: float = 0.7, model_type: str = "mistral", blocks: dict | None = None, **language):
    from model.config import CrossAttentionSettings, LanguageSettings
    from model.infimm import InfiMM
    from model.language import load_language
    from model.perceiver import PerceiverResampler
    from model.vision import VisionTower

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.2}
    if model_type == "gpt_neox":
        sizes["rotary_pct"] = 0.5
    config = {"model_type": model_type, **sizes, "pad_token_id": None, **language}
    lm = load_language(LanguageSettings(config=config), vocabulary=50)
    vision = VisionTower(Patches(24), image_side=SIDE, width=24, mean=[0.5] * 3, std=[0.25] * 3)
    perceiver = PerceiverResampler(24, layers=2, latents=3, heads=2, head_width=8, ff_multiple=2)
    chosen = {"every": 2, "heads": 2, "head_width": 8, "ff_multiple": 2, "gate_start": gate} | (blocks or {})
    return InfiMM(vision, perceiver, lm, CrossAttentionSettings(**chosen), media_width=24).eval()


def rows(*documents: list[tuple[list[int], list[int]]], length: int = 24):
    """Fields of a batch from, for each row, documents as (ids, image_index); the rest is padding."""
    ids = torch.full((len(documents), length), 2)
    found = {
        "input_ids": ids,
        "document_ids": torch.full_like(ids, -1),
        "position_ids": torch.zeros_like(ids),
        "image_index": torch.full_like(ids, -1),
    }
    for row, own in enumerate(documents):
        start = 0
        for number, (tokens, index) in enumerate(own):
            place = slice(start, start + len(tokens))
            found["input_ids"][row, place] = torch.tensor(tokens)
            found["document_ids"][row, place] = number
            found["position_ids"][row, place] = torch.arange(len(tokens))
            found["image_index"][row, place] = torch.tensor(index)
            start += len(tokens)
    return found


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed)).byte()


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    """A random open_clip model of 16 x 16 pixels that `local-dir:` loads."""
    from safetensors.torch import save_file

    from infimm_data.torchvision_ops import declare_torchvision_ops

    declare_torchvision_ops()
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    sizes = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 8, "heads": 1, "layers": 1},
    }
    normal = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": sizes, "preprocess_cfg": normal}))
    torch.manual_seed(5)
    save_file(open_clip.CLIP(**sizes).state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> str:
    """Shards of 240 grey pictures with the word for each."""
    from tests.model.shades import write_shades

    return write_shades(str(tmp_path_factory.mktemp("data")), 240)


@pytest.fixture
def recipe(clip_folder):
    """Make a training recipe with some keys changed."""
    from infimm_data.config import parse_settings
    from model.config import TrainConfig
    from tests.model.shades import settings

    return lambda **changed: parse_settings(settings(clip_folder, **changed), TrainConfig, where="test")
