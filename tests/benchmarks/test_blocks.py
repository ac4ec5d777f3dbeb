"""The published formulation that our blocks are measured beside gives the same outputs and gradients."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "blocks.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("benchmark_blocks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_blocks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmark_blocks"]


@pytest.fixture
def sizes(script):
    return script.Sizes(text=24, vision=16, patches=5, latents=3, heads=2, head_width=4)


def results(function, module, given):
    inputs = [x.clone().requires_grad_() for x in given]
    module.zero_grad(set_to_none=True)
    out = function(*inputs)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out, *(x.grad for x in inputs), *(p.grad for p in module.parameters())]


def assert_alike(cases):
    expected = results(*cases.pop("published"))
    for name, one in cases.items():
        for ours, theirs in zip(results(*one), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)


def test_the_gated_block_is_the_published_one(script, sizes):
    case = script.Case("mixed", tokens=11, images=(3, 0, 1, 2))
    assert_alike(script.blocks(case, sizes, "cpu", torch.float32, ["runs", "sdpa", "dense"]))


def test_the_resampler_is_the_published_one(script, sizes):
    assert_alike(script.resamplers(script.Case("mixed", tokens=11, images=(3, 0, 1, 2)), sizes, "cpu", torch.float32))


def test_what_is_kept_for_backward_does_not_grow_with_the_images_of_a_row(script, sizes):
    """Beside the images' own keys: the tokens are the same, whatever they look at."""
    kept = {}
    for count in (1, 8):
        cases = script.blocks(script.Case("", 64, (count,)), sizes, "cpu", torch.float32, ["runs"])
        for name, one in cases.items():
            kept[name, count] = script.measure(*one)[1] * 1e6
    images_themselves = 7 * sizes.latents * (sizes.vision + 2 * sizes.heads * sizes.head_width) * 4
    rounding = 4 * 2 * 64 * 24 * 4  # runs are padded to the longest
    assert kept["ours, runs", 8] - kept["ours, runs", 1] <= images_themselves + rounding
    assert kept["published", 8] - kept["published", 1] > 2 * 7 * sizes.heads * 64 * sizes.latents * 4
