"""The formula of a step's FLOPs is what torch counts, for every freeze policy; what teaches is a part of all."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from infimm_data.stream.batch import Batch
from model.flops import Work, count_flops, peak_tflops, work_of
from tests.model.conftest import pictures, tiny_model

TOKENS = 24


def batch(images: int = 1) -> Batch:
    torch.manual_seed(0)
    ids = torch.randint(3, 50, (1, TOKENS))
    index = torch.zeros_like(ids)
    index[0, :10] = -1
    fields = {
        "input_ids": ids,
        "labels": ids.clone(),
        "document_ids": torch.zeros_like(ids).int(),
        "position_ids": torch.arange(TOKENS).expand(1, TOKENS),
        "image_index": index.int(),
        "images": pictures(images),
        "sources": torch.zeros_like(ids).short(),
    }
    return Batch(**fields)


@pytest.mark.parametrize(
    "train",
    [
        ("perceiver", "cross_attention"),
        ("perceiver", "cross_attention", "embeddings"),
        ("perceiver", "cross_attention", "language"),
        ("cross_attention",),
        ("perceiver",),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("model_type", ["mistral", "gpt_neox"])
def test_the_formula_is_what_torch_counts(train, model_type):
    model, given = tiny_model(model_type=model_type), batch()
    model.set_trainable(train)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the CPU's fused attention is not counted
        fields = {name: getattr(given, name) for name in Batch.__slots__}
        model(**fields).loss.backward()
    work, _ = work_of(given, "infimm")
    dense = replace(work, pairs=TOKENS * TOKENS)  # what the plain kernel computes; the formula counts causal pairs
    assert count_flops(model).of(dense) == counter.get_total_flops()


def test_frozen_layers_below_the_first_block_cost_forward_alone():
    model = tiny_model(blocks={"every": 4})
    model.set_trainable(("cross_attention",))
    late = count_flops(model)
    model.set_trainable(("cross_attention", "embeddings"))
    early = count_flops(model)
    layer = sum(m.weight.numel() for m in model.language.model.layers[0].modules() if isinstance(m, torch.nn.Linear))
    assert early.per_token - late.per_token == 3 * 2 * layer


def test_what_teaches_is_what_bears_a_label_with_the_tokens_of_its_own_document():
    given = batch(images=2)
    documents = torch.zeros(1, TOKENS, dtype=torch.int32)
    documents[0, 10:20], documents[0, 20:] = 1, -1
    positions = torch.cat([torch.arange(10), torch.arange(10), torch.zeros(4)]).long()[None]
    labels = given.labels.clone()
    labels[0, :5] = labels[0, 20:] = -100
    index = torch.where(documents == 1, 0, -1).int()
    given = replace(given, document_ids=documents, position_ids=positions, labels=labels, image_index=index)
    hardware, useful = work_of(given, "infimm")
    assert hardware == Work(tokens=24, pairs=24 * 25 / 2, active=10, seeing=10, images=2)
    assert useful == Work(tokens=15, pairs=sum(range(6, 11)) + sum(range(1, 11)), active=10, seeing=10, images=2)


def test_a_cpu_has_no_peak():
    assert peak_tflops(torch.device("cpu")) is None
