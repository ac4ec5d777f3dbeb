"""A whole training step: ours on packed rows and on padded ones, beside the published formulation on the same weights.

    python benchmarks/train_step.py [--device cuda] [--rows 16] [--steps 10] [--compile]

One set of documents as long as OBELICS' (log-normal, 815 tokens and 2.5 images on average), three ways through a step:

    published, padded   a document a row, cut off at 792 tokens and 6 images, rows padded to both: the padding images
                        run through tower and resampler, every token is scored against all images of its row
                        (INFIMM.md 1.3, 1.4 and 3.1, written from the formulas)
    ours, padded        the same rows, ragged images, our blocks
    ours, packed        the same documents, none cut off, split at 792 tokens and packed into as many rows

All three: forward, backward, clipping, fused AdamW on resampler, blocks and embeddings; vision and language frozen.
useful tokens: those with a label, padding and what was cut off not among them. Steps alternate between the three; the
median counts. The first line checks that the first two have the same loss.

--device cuda takes InfiMM-Zephyr's layout with random weights in bf16 (9.8 billion parameters: 80 GB), the CPU a small
one in fp32, on one thread, by the time that the thread itself was running: what else runs there takes none of it.
Limits: no loader, pixels are random; on the CPU SDPA is not a flash kernel. FLOPs are counted as in
`model.flops`; MFU is given where the device's peak is known.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from blocks import padded, published_block, published_resampler
from torch import Tensor, nn
from train_rows import MAX_IMAGES, batch_of, packed_rows, padded_rows, pages

from infimm_data.stream.batch import Batch
from infimm_data.stream.tokens import IGNORED
from model.compiling import compile_model
from model.config import CrossAttentionSettings, LanguageSettings, OptimizerSettings, VisionSettings
from model.flops import count_flops, peak_tflops, work_of
from model.infimm import InfiMM
from model.language import attention_mask, load_language, run_layers
from model.optimizer import build_optimizer
from model.perceiver import PerceiverResampler
from model.training_run import set_precision
from model.vision import VisionTower, load_vision, tower_of

DOCUMENTS = 64  # drawn for each row of a step; rows are taken evenly from them


@dataclass(frozen=True)
class Layout:
    """Sizes of a model. vision: an open_clip name, None for a small tower of our own."""

    language: dict[str, Any]
    perceiver: dict[str, int]
    blocks: CrossAttentionSettings
    vision: str | None


LAYOUTS = {
    "cuda": Layout(
        {
            "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": 4096, "vocab_size": 32002,
            "tie_word_embeddings": False,
        },
        {}, CrossAttentionSettings(gate_start=0.5), "EVA02-L-14-336",
    ),
    "cpu": Layout(
        {
            "model_type": "mistral", "hidden_size": 128, "intermediate_size": 448, "num_hidden_layers": 6,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000, "tie_word_embeddings": False,
        },
        {"layers": 3, "latents": 32, "heads": 4, "head_width": 16},
        CrossAttentionSettings(heads=4, head_width=16, gate_start=0.5), None,
    ),
}  # fmt: skip


def build(layout: Layout, device: torch.device) -> InfiMM:
    """Return a model with random weights, its connectors and embeddings in fp32, frozen parts in bf16 on a GPU."""
    torch.manual_seed(0)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_default_dtype(kind)
    with device:
        language = load_language(LanguageSettings(config=layout.language), vocabulary=layout.language["vocab_size"])
        vision = load_vision(VisionSettings(name=layout.vision)) if layout.vision else small_tower()
        perceiver = PerceiverResampler(vision.width, **layout.perceiver)
        model = InfiMM(vision, perceiver, language, layout.blocks, media_width=vision.width)
    torch.set_default_dtype(torch.float32)
    model.set_trainable(("perceiver", "cross_attention", "embeddings"))
    set_precision(model, is_bf16=device.type == "cuda")
    return model.to(device).train()


def small_tower() -> VisionTower:
    """Return a vision transformer of 5 x 5 patches, 64 wide."""
    from infimm_data.torchvision_ops import declare_torchvision_ops

    declare_torchvision_ops()
    from open_clip.transformer import VisionTransformer

    return tower_of(VisionTransformer(70, 14, 64, layers=4, heads=2, mlp_ratio=4.0, output_dim=32), "small")


def published_loss(model: InfiMM, batch: Batch, counts: tuple[int, ...]) -> Tensor:
    """Return the mean loss of padded rows by the published formulas; counts: images of each row."""
    most = batch.images.new_zeros(MAX_IMAGES, *batch.images.shape[1:])
    images = padded(torch.cat([batch.images, most]), (*counts, MAX_IMAGES))[:-1]  # every row to MAX_IMAGES, in black
    rows, each = images.shape[:2]
    features = model.vision(images.flatten(0, 1)).to(next(model.perceiver.parameters()).dtype)
    media = published_resampler(model.perceiver, features).unflatten(0, (rows, each))
    first = (
        torch.tensor(counts, device=batch.image_index.device).cumsum(0)[:, None]
        - torch.tensor(counts, device=batch.image_index.device)[:, None]
    )
    within = torch.where(batch.image_index >= 0, batch.image_index - first, -1)
    blocks = {int(i): block for i, block in model.cross_attention.items()}

    def between(i: int, hidden: Tensor) -> Tensor:
        return published_block(blocks[i], hidden, media, within) if i in blocks else hidden

    mask = attention_mask(batch.document_ids, batch.document_ids, sliding_window=model.sliding_window)
    hidden = run_layers(
        model.language, batch.input_ids, position_ids_BT=batch.position_ids, mask_BTS=mask, between=between
    )
    scores = model.logits(hidden)[:, :-1].flatten(0, 1).float()
    return F.cross_entropy(scores, batch.labels[:, 1:].flatten(), ignore_index=IGNORED)


def our_loss(model: InfiMM, batch: Batch, chunk: int | None) -> Tensor:
    """Return the mean loss of our model."""
    fields = {name: getattr(batch, name) for name in Batch.__slots__ if name != "sources"}
    out = model(**fields, loss_chunk=chunk, wants_logits=False)
    return out.loss


@dataclass
class Way:
    """One way through a step, and what was measured of it: seconds, peak bytes."""

    name: str
    batch: Batch
    loss: Callable[[], Tensor]
    seconds: list[float]
    peak: int = 0


def step(way: Way, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """Take a step; return its loss."""
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    clock = time.perf_counter if is_cuda else time.process_time
    began = clock()
    with torch.autocast("cuda", torch.bfloat16) if is_cuda else contextlib.nullcontext():
        loss = way.loss()
    loss.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if is_cuda:
        torch.cuda.synchronize()
        way.peak = torch.cuda.max_memory_allocated()
    way.seconds.append(clock() - began)
    return float(loss.detach())


def report(ways: list[Way], model: InfiMM, flops: Any, device: torch.device) -> None:
    """Print a line for each way; ratios are to the first."""
    peak = peak_tflops(device)
    head = f"{'':<20}{'ms':>9}{'useful tok/s':>14}{'ratio':>8}{'fill':>7}{'images':>8}{'peak GB':>9}{'TFLOP/s':>9}"
    print(head + ("" if peak is None else f"{'MFU':>7}{'useful':>8}"))
    base = None
    for way in ways:
        seconds = statistics.median(way.seconds)
        computed, teaching = work_of(way.batch, "infimm")
        rate = way.batch.num_targets / seconds
        base = base or rate
        hardware, useful = flops.of(computed) / seconds / 1e12, flops.of(teaching) / seconds / 1e12
        line = (
            f"{way.name:<20}{seconds * 1e3:>9.1f}{rate:>14,.0f}{rate / base:>7.2f}x"
            f"{way.batch.num_tokens / way.batch.input_ids.numel():>7.2f}{len(way.batch.images):>8}"
            f"{way.peak / 1e9:>9.1f}{hardware:>9.3g}"
        )
        print(line + ("" if peak is None else f"{hardware / peak:>7.1%}{useful / peak:>8.1%}"))
    print("TFLOP/s and MFU by formula of our step: what the published one computes beyond it is its own loss")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(LAYOUTS), default="cpu")
    parser.add_argument("--rows", type=int, help="rows of a step (default 16 on a GPU, 8 on the CPU)")
    parser.add_argument("--tokens", type=int, default=792, help="tokens of a row (default 792, as published)")
    parser.add_argument("--steps", type=int, default=7, help="measured steps of each way (default 7)")
    parser.add_argument("--loss-chunk", type=int, help="tokens whose scores are in memory at once, of our ways")
    parser.add_argument("--compile", action="store_true", help="torch.compile what repeats, for all three")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; without --device the same runs small on the CPU")
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    device, layout = torch.device(arguments.device), LAYOUTS[arguments.device]
    rows = arguments.rows or (16 if device.type == "cuda" else 8)
    model = build(layout, device)
    side, vocabulary = model.vision.image_side, layout.language["vocab_size"]
    found = pages(rows * DOCUMENTS, seed=1)  # of six seeds the one whose rows of the CPU are most like the whole
    cut = padded_rows(found, arguments.tokens)[::DOCUMENTS]
    counts = tuple(len(images) for ((_, images),) in cut)
    plain = batch_of(cut, arguments.tokens, side, vocabulary)
    all_rows = packed_rows(found, arguments.tokens)
    even = [all_rows[i * len(all_rows) // rows] for i in range(rows)]  # long documents are packed first
    packed = batch_of(even, arguments.tokens, side, vocabulary)
    flops = count_flops(model)
    if arguments.compile:
        compile_model(model)
    plain_there, packed_there = plain.to(device), packed.to(device)
    ways = [
        Way("published, padded", plain, lambda: published_loss(model, plain_there, counts), []),
        Way("ours, padded", plain, lambda: our_loss(model, plain_there, arguments.loss_chunk), []),
        Way("ours, packed", packed, lambda: our_loss(model, packed_there, arguments.loss_chunk), []),
    ]
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext():
        first, second = (float(way.loss()) for way in ways[:2])
    print(f"loss of the same rows: published {first:.6f}, ours {second:.6f}, apart {abs(first - second):.1e}")
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=1e-5))
    for number in range(arguments.steps + 1):
        for way in ways:
            step(way, optimizer, device)
            if number == 0:
                way.seconds.clear()  # the first warms, and compiles
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    total = sum(p.numel() for p in model.parameters())
    print(
        f"{where}, torch {torch.__version__}, {total / 1e6:,.0f} M parameters, {rows} rows of {arguments.tokens} tokens"
    )
    report(ways, model, flops, device)


if __name__ == "__main__":
    main()
