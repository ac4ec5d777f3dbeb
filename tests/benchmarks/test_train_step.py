"""The step that ours is measured beside has the same loss on the same rows, and packing cuts nothing off."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from model.config import CrossAttentionSettings

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(FOLDER))  # it imports its neighbour, as when it is run
    spec = importlib.util.spec_from_file_location("benchmark_train_step", FOLDER / "train_step.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_train_step"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    del sys.modules["benchmark_train_step"]


def test_the_published_step_has_our_loss_and_our_gradients(script):
    sizes = {"model_type": "mistral", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 50, "tie_word_embeddings": False}
    blocks = CrossAttentionSettings(heads=2, head_width=8, gate_start=0.5)
    perceiver = {"layers": 1, "latents": 3, "heads": 2, "head_width": 8}
    model = script.build(script.Layout(sizes, perceiver, blocks, None), torch.device("cpu"))
    rows = [[(20, [3, 9])], [(12, [])], [(24, [1])]]
    batch = script.batch_of(rows, 24, model.vision.image_side, 50)
    found = []
    for loss in (script.published_loss(model, batch, (2, 0, 1)), script.our_loss(model, batch, None)):
        model.zero_grad()
        loss.backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append((float(loss.detach()), grads))
    (published, expected), (ours, gradients) = found
    assert ours == pytest.approx(published, abs=1e-6)
    assert expected.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4, msg=name)


def test_padded_rows_are_cut_and_packed_rows_hold_everything(script):
    found = script.pages(200)
    padded, packed = script.padded_rows(found, 792), script.packed_rows(found, 792)
    assert max(len(images) for row in padded for _, images in row) == script.MAX_IMAGES
    assert sum(length for row in packed for length, _ in row) == sum(found.lengths)
    assert sum(len(images) for row in packed for _, images in row) == sum(map(len, found.images))
    assert all(sum(length for length, _ in row) <= 792 for row in packed)
    assert sum(length for row in packed for length, _ in row) > 0.95 * 792 * len(packed)
