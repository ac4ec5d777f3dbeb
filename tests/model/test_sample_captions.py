"""What a model says of a few pictures: the same ones after each evaluation, whatever was cut off in between."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from infimm_data.config import parse_settings
from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from infimm_data.stream.order import is_held_out
from infimm_data.stream.settings import StreamSettings
from model.config import TrainConfig
from model.infimm import build_model
from model.parallel import World
from model.sample_captions import PICTURES, SampleCaptions, read_samples
from model.tokenizer import load_tokenizer
from tests.infimm_data.stream.conftest import png
from tests.model.conftest import TOKENIZER

CPU = World(torch.device("cpu"))


def sample(number, data):
    nodes = (TextNode(text="before"), ImageNode(url="https://a/b", file="0.png"), TextNode(text=f"after {number}"))
    return Sample(new_document(nodes, Origin(dump="d", offset=number)), {"0.png": data})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    samples = [sample(0, b"no picture"), *(sample(number, png(number, (16, 16))) for number in range(1, 60))]
    torn = write_shard(folder, 0, [sample(100, png(0, (16, 16)))])
    shard = Path(folder) / torn.name
    shard.write_bytes(shard.read_bytes().replace(b'"nodes"', b'"nodes~'))
    write_manifest(folder, [torn, write_shard(folder, 1, samples)])
    return folder


@pytest.fixture(scope="module")
def speaker(clip_folder):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = parse_settings(
        {
            "model": {
                "tokenizer": TOKENIZER,
                "vision": {"name": f"local-dir:{clip_folder}"},
                "perceiver": {"layers": 1, "latents": 2, "heads": 2, "head_width": 8, "ff_multiple": 2},
                "cross_attention": {"every": 1, "heads": 2, "head_width": 8, "ff_multiple": 2},
                "language": {"config": {"model_type": "llama", "pad_token_id": None, **sizes}},
            },
            "stream": {},
            "steps": 1,
            "rows_per_step": 1,
        },
        TrainConfig,
        where="test",
    )
    tokenizer = load_tokenizer(TOKENIZER)
    return build_model(config.model, tokenizer, seed=1).eval(), tokenizer


def test_the_same_pictures_after_each_step_with_the_text_that_follows(data, speaker, tmp_path):
    watch = SampleCaptions(data, str(tmp_path), StreamSettings())
    watch(*speaker, 10, CPU)
    watch(*speaker, 20, CPU)
    head, *said = read_samples(tmp_path / "samples.jsonl")
    shown = [one["text"] for one in head["pictures"]]
    assert shown == [f"after {n}" for n in range(1, 1 + PICTURES)], "100 is no sample, 0 no picture"
    assert [line["step"] for line in said] == [10, 20]
    assert said[0]["captions"] == said[1]["captions"], "greedy, of the same model"
    assert len(said[0]["captions"]) == PICTURES


def test_pictures_are_held_out_where_documents_are(data, speaker, tmp_path):
    SampleCaptions(data, str(tmp_path), StreamSettings(holdout_fraction=0.3))(*speaker, 1, CPU)
    shown = [one["text"] for one in read_samples(tmp_path / "samples.jsonl")[0]["pictures"]]
    held = [n for n in range(1, 60) if is_held_out(sample(n, b"").document.id, 0.3)]
    assert shown == [f"after {n}" for n in held[:PICTURES]]


def test_a_run_that_goes_on_keeps_what_was_said_before_it_was_cut_off(data, speaker, tmp_path):
    watch = SampleCaptions(data, str(tmp_path), StreamSettings())
    for step in (10, 20, 30):
        watch(*speaker, step, CPU)
    SampleCaptions(data, str(tmp_path), StreamSettings())(*speaker, 20, CPU)
    head, *said = read_samples(tmp_path / "samples.jsonl")
    assert "pictures" in head
    assert [line["step"] for line in said] == [10, 20]


def test_no_random_state_moves(data, speaker, tmp_path):
    before = torch.get_rng_state()
    SampleCaptions(data, str(tmp_path), StreamSettings())(*speaker, 1, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_shards_without_pictures_leave_no_file(speaker, tmp_path):
    text = Sample(new_document((TextNode(text="words"),), Origin(dump="d")), {})
    write_manifest(str(tmp_path / "data"), [write_shard(str(tmp_path / "data"), 0, [text])])
    SampleCaptions(str(tmp_path / "data"), str(tmp_path), StreamSettings())(*speaker, 1, CPU)
    assert read_samples(tmp_path / "samples.jsonl") == []


def test_what_is_kept_of_a_picture_is_small():
    import base64

    from model.sample_captions import SIDE, _small

    shown = Image.open(io.BytesIO(base64.b64decode(_small(Image.new("RGB", (2000, 1000))))))
    assert shown.size == (SIDE, SIDE // 2)
