"""Our blocks beside the published formulation of the same blocks, on the same shapes, inputs and weights.

    python benchmarks/blocks.py [--device cuda] [--runs 5] [--backends runs sdpa]

Published (INFIMM.md 1.3 and 1.4, written from the formulas): every token scored against the latents of all images of
its row, each row padded to the most images of any, explicit softmax; the feed-forward on every token, then multiplied
by the row's flag; the resampler on padding images too, attention spelled out. Ours: ragged images, one image per token,
rows without images skipped.

Each case is forward and backward of one module. Runs alternate between the implementations; the median counts.
saved: what autograd keeps for backward, without the weights (a count of bytes, the same on every machine); peak: CUDA's
allocator, above what stood there before. error: of the outputs, relative to the published formula in fp32.

--device cuda takes InfiMM-Zephyr's sizes in bf16 (resampler: 577 tokens 1,024 wide; text 4,096 wide), the CPU an eighth
of their widths in fp32. Limits: one block, not a step: the blocks are about a third of a training step's FLOPs, and
their attention about 3 % of the blocks', so no ratio here is that of a step. Every row holds one document, as the
published mask knows no other; packing is not in these figures. Nothing is compiled but flex.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.attention_backends import prepare
from model.cross_attention import GatedCrossAttentionBlock
from model.media import plan_media
from model.perceiver import PerceiverResampler
from model.semantics import documents_with_images


@dataclass(frozen=True)
class Sizes:
    """Widths of the modules: text D, vision V; P patches and L latents per image; heads H of K."""

    text: int
    vision: int
    patches: int
    latents: int = 64
    heads: int = 8
    head_width: int = 64


@dataclass(frozen=True)
class Case:
    """Rows of `tokens` tokens with the given numbers of images, spread evenly over each row."""

    name: str
    tokens: int
    images: tuple[int, ...]


SIZES = {"cpu": Sizes(text=512, vision=128, patches=72), "cuda": Sizes(text=4096, vision=1024, patches=577)}
CASES = {
    "cpu": (
        Case("792 tokens, 6 images", 792, (6,)),
        Case("792 tokens, 6, 2, 1 and 0 images", 792, (6, 2, 1, 0)),
        Case("2048 tokens, 6 images", 2048, (6,)),
        Case("2048 tokens, 24 images", 2048, (24,)),
        Case("2048 tokens, 48 images", 2048, (48,)),
    ),
    "cuda": (
        Case("8 x 792 tokens, 6 images", 792, (6,) * 8),
        Case("8 x 792 tokens, 6 to 0 images", 792, (6, 4, 3, 2, 1, 1, 0, 0)),
        Case("4 x 4096 tokens, 6 images", 4096, (6,) * 4),
        Case("4 x 4096 tokens, 24 images", 4096, (24,) * 4),
        Case("4 x 4096 tokens, 48 images", 4096, (48,) * 4),
    ),
}
BACKENDS = {"cpu": ["runs", "sdpa", "dense"], "cuda": ["varlen", "runs", "flex", "sdpa", "dense"]}


def image_index(case: Case) -> Tensor:
    """Return [B, T]: the image that each token sees, counted over the batch; -1 before the first of a row."""
    index, first = torch.full((len(case.images), case.tokens), -1), 0
    for row, count in enumerate(case.images):
        starts = torch.arange(count) * case.tokens // max(count, 1) + 1  # one token, `<s>`, before the first image
        for number, start in enumerate(starts.tolist()):
            index[row, start:] = first + number
        first += count
    return index


def published_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Return the attention of [B, T, E] to [B, S, E] with every score stored; mask: [B, T, S], True where it sees."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = torch.einsum("bhik,bhjk->bhij", q * q.shape[-1] ** -0.5, k)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], -torch.finfo(scores.dtype).max)
    scores = scores - scores.amax(-1, keepdim=True).detach()
    shares = scores.softmax(-1)
    if mask is not None:
        shares = shares.masked_fill(~mask.any(-1)[:, None, :, None], 0.0)
    return torch.einsum("bhij,bhjk->bhik", shares, v).transpose(1, 2).flatten(2)


def published_block(block: GatedCrossAttentionBlock, hidden: Tensor, media: Tensor, index: Tensor) -> Tensor:
    """Return INFIMM.md 1.4 with a block's weights. media: [B, I, L, V]; index: [B, T], image of its own row or -1."""
    images, latents = media.shape[1], media.shape[2]
    attention = block.attn
    query = attention.to_q(attention.norm(hidden))
    key, value = attention.to_kv(media.flatten(1, 2)).chunk(2, dim=-1)
    image_of_latent = torch.arange(images, device=index.device).repeat_interleave(latents)
    mask = index[..., None] == image_of_latent
    flag = (index >= 0).any(1).to(hidden.dtype)[:, None, None]
    attended = attention.to_out(published_attention(query, key, value, mask, attention.heads))
    hidden = hidden + flag * attended * block.attn_gate.tanh()
    return hidden + flag * block.ff(hidden) * block.ff_gate.tanh()


def published_resampler(resampler: PerceiverResampler, features: Tensor) -> Tensor:
    """Return INFIMM.md 1.3 with a resampler's weights. features: [images, P, V]."""
    latents = resampler.latents.expand(len(features), -1, -1)
    for layer in resampler.layers:
        attention, feed_forward = layer
        own = attention.norm_latents(latents)
        key, value = attention.to_kv(torch.cat([attention.norm_media(features), own], dim=1)).chunk(2, dim=-1)
        found = published_attention(attention.to_q(own), key, value, None, attention.heads)
        latents = latents + attention.to_out(found)
        latents = latents + feed_forward(latents)
    return resampler.norm(latents)


def padded(flat: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Return images [N, ...] as rows of the most images of any, [B, I, ...], with zeros behind."""
    rows = torch.split(flat, list(counts))
    most = max(counts)
    return torch.stack([torch.cat([row, row.new_zeros(most - len(row), *row.shape[1:])]) for row in rows])


def own_index(case: Case) -> Tensor:
    """Return the image index counted within each row."""
    first = torch.tensor(case.images).cumsum(0) - torch.tensor(case.images)
    index = image_index(case)
    return torch.where(index >= 0, index - first[:, None], -1)


def blocks(case: Case, sizes: Sizes, device: str, dtype: torch.dtype, names: list[str]) -> dict[str, Any]:
    """Return name -> (function to measure, its module, its inputs) for the gated block."""
    torch.manual_seed(0)
    block = GatedCrossAttentionBlock(
        sizes.text, sizes.vision, heads=sizes.heads, head_width=sizes.head_width, gate_start=0.5
    ).to(device, dtype)
    hidden = torch.randn(len(case.images), case.tokens, sizes.text).to(device, dtype)
    media = torch.randn(sum(case.images), sizes.latents, sizes.vision).to(device, dtype)
    index, within = image_index(case).to(device), own_index(case).to(device)
    documents = torch.zeros_like(index)

    def published(hidden: Tensor, media: Tensor) -> Tensor:
        return published_block(block, hidden, padded(media, case.images), within)

    def ours(name: Any) -> Callable[[Tensor, Tensor], Tensor]:
        def run(hidden: Tensor, media: Tensor) -> Tensor:
            plan = plan_media(index, documents_with_images(index, documents), num_images=sum(case.images))
            keys = block.attn.media_keys(media)
            return block(hidden, keys, plan, prepare(name, plan, keys[0]))

        return run

    found = {"published": published} | {f"ours, {name}": ours(name) for name in names}
    return {name: (function, block, (hidden, media)) for name, function in found.items()}


def resamplers(case: Case, sizes: Sizes, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Return name -> (function to measure, its module, its inputs) for the resampler."""
    torch.manual_seed(0)
    resampler = PerceiverResampler(sizes.vision).to(device, dtype)
    features = torch.randn(sum(case.images), sizes.patches, sizes.vision).to(device, dtype)
    is_real = padded(torch.ones(len(features), dtype=torch.bool), case.images).flatten().to(device)

    def published(features: Tensor) -> Tensor:
        return published_resampler(resampler, padded(features, case.images).flatten(0, 1))[is_real]

    functions = {"published": published, "ours": resampler}
    return {name: (function, resampler, (features,)) for name, function in functions.items()}


@contextmanager
def bytes_saved(module: nn.Module) -> Iterator[dict[int, int]]:
    """Collect the storages that autograd keeps within, by address, without those of the module's weights."""
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def measure(
    function: Callable[..., Tensor], module: nn.Module, given: tuple[Tensor, ...]
) -> tuple[float, float, float]:
    """Return seconds, MB saved for backward, and peak MB (0 on the CPU) of one forward and backward."""
    is_cuda = given[0].is_cuda
    inputs = [x.detach().requires_grad_() for x in given]
    module.zero_grad(set_to_none=True)
    before = 0
    if is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    start = time.perf_counter()
    function(*inputs).square().mean().backward()
    if is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = (torch.cuda.max_memory_allocated() - before) / 1e6 if is_cuda else 0.0
    with bytes_saved(module) as kept:
        function(*inputs)
    return seconds, sum(kept.values()) / 1e6, peak


def compare(title: str, cases: dict[str, Any], exact: Tensor, runs: int) -> None:
    """Measure the implementations in turn and print a line for each; exact: the outputs in fp32."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    errors = {}
    for name, (function, module, given) in cases.items():
        with torch.no_grad():
            errors[name] = float((function(*given).float() - exact).norm() / exact.norm())
        measure(function, module, given)  # warm
    for _ in range(runs):
        for name, one in cases.items():
            found[name].append(measure(*one))
    print(f"\n{title}\n{'':<14}{'ms':>9}{'ratio':>8}{'saved MB':>10}{'ratio':>8}{'peak MB':>10}{'error':>10}")
    base = found["published"]
    for name, values in found.items():
        ms, saved, peak = (statistics.median(one[i] for one in values) for i in range(3))
        faster = statistics.median(one[0] for one in base) / ms
        smaller = base[0][1] / max(saved, 1e-9)
        print(
            f"{name:<14}{ms * 1e3:>9.1f}{faster:>7.2f}x{saved:>10.1f}{smaller:>7.2f}x{peak:>10.1f}{errors[name]:>10.1e}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(SIZES), default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--backends", nargs="+", help="default: all that the device has")
    arguments = parser.parse_args()
    device, sizes = arguments.device, SIZES[arguments.device]
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; without --device the same cases run small on the CPU")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}, torch {torch.__version__}, {dtype}, {sizes}, median of {arguments.runs}, forward and backward")
    seen: set[tuple[int, ...]] = set()
    for case in CASES[device]:
        for title, make in (
            (
                "gated block",
                lambda kind, c=case: blocks(c, sizes, device, kind, arguments.backends or BACKENDS[device]),
            ),
            ("resampler", lambda kind, c=case: resamplers(c, sizes, device, kind)),
        )[: 1 if case.images in seen else 2]:  # the resampler sees images alone
            function, _, given = make(torch.float32)["published"]
            with torch.no_grad():
                exact = function(*given)
            compare(f"{title}: {case.name}", make(dtype), exact, arguments.runs)
        seen.add(case.images)


if __name__ == "__main__":
    main()
