"""The optimizer: what decays, and the learning rate at the edges of its schedule."""

import pytest

from model.config import OptimizerSettings
from model.optimizer import build_optimizer, learning_rate
from tests.model.conftest import tiny_model


def test_only_matrices_of_linear_layers_decay():
    model = tiny_model()
    model.set_trainable(("perceiver", "cross_attention", "language"))
    optimizer = build_optimizer(model, OptimizerSettings(weight_decay=0.3))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert all(name.endswith(".weight") for name in names)
    assert "language.model.layers.0.mlp.up_proj.weight" in names
    assert "cross_attention.1.attn.to_q.weight" in names
    for name in ("perceiver.latents", "language.model.embed_tokens.weight", "cross_attention.1.attn_gate",
                 "language.model.norm.weight", "perceiver.norm.weight"):  # fmt: skip
        assert name not in names
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    assert held == sum(p.requires_grad for p in model.parameters())


def test_tied_embeddings_do_not_decay_and_are_held_once():
    model = tiny_model(tie_word_embeddings=True)
    model.set_trainable(("language",))
    optimizer = build_optimizer(model, OptimizerSettings())
    embedding = model.language.model.embed_tokens.weight
    places = [group["weight_decay"] for group in optimizer.param_groups for p in group["params"] if p is embedding]
    assert places == [0.0]


def test_frozen_parameters_are_not_in_the_optimizer():
    model = tiny_model()
    model.set_trainable(("perceiver",))
    held = {id(p) for group in build_optimizer(model, OptimizerSettings()).param_groups for p in group["params"]}
    assert held == {id(p) for p in model.perceiver.parameters()}


def test_the_warm_up_rises_to_the_peak():
    settings = OptimizerSettings(learning_rate=1.0, warmup_steps=3)
    assert [learning_rate(step, 10, settings) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_cosine_goes_from_the_peak_to_the_minimum():
    settings = OptimizerSettings(learning_rate=1.0, warmup_steps=2, schedule="cosine", min_learning_rate=0.1)
    assert learning_rate(2, 12, settings) == 1.0
    assert learning_rate(7, 12, settings) == pytest.approx(0.55)
    assert learning_rate(12, 12, settings) == pytest.approx(0.1)
