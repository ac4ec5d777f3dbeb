"""Scoring by CLIP: our whole pass function beside the bare forward of the same open_clip model on ready tensors.

    python benchmarks/score_clip.py [--images 64] [--model ViT-B-32] [--precision fp32] [--device cpu] [--runs 5]

Ours is `score_item`, what a build runs per work item: documents from Parquet, bytes from the tar, decode (640 x 480
JPEGs), resize, both towers, cosines, Parquet out; loading the model is not in it, as it happens once per worker. Bare
is `encode_image` and `encode_text` on tensors and tokens that lie ready, in the same batches, and nothing else. Both
have the same weights (random: speed does not depend on them), threads and process; runs alternate, the medians count.
`share` is ours / bare, `of CPU` the same by the CPU seconds of all threads, which other processes disturb less.

Cases: images alone (vectors stored); one caption per image; a page's eight sentences per image, which is what web
pages give. Limits: bare pads texts to 77 tokens, as open_clip does; ours cuts what no vector depends on, so the last
two cases compare it with what users of open_clip have.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternating import heading, spread
from PIL import Image

from filters.clip_score import ClipScore
from infimm_data.document import Document, ImageNode, Origin, TextNode, new_document
from infimm_data.files import open_whole
from infimm_data.images import decode_rgb
from infimm_data.shards import tar_member
from infimm_data.tables import DOCUMENTS, document_row, open_table, read_table
from infimm_data.torchvision_ops import declare_torchvision_ops
from pipelines.layout import Layout
from pipelines.passes.score import score_item

SIZE = (640, 480)
ITEM = "made"
WORDS = ("the", "photo", "of", "red", "small", "house", "near", "water", "people", "walk", "in", "old", "town", "hill")


@dataclass(frozen=True)
class Case:
    """texts: what the step is asked to compare; sentences: of each document beside its caption."""

    name: str
    texts: str
    sentences: int


CASES = (Case("images alone", "none", 0), Case("1 caption", "caption", 0), Case("caption + 8 sentences", "nearby", 8))


def make_picture(rng: np.random.Generator) -> bytes:
    """Return a JPEG that compresses about as a photo does: smooth shapes with some noise."""
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(SIZE)
    noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 13, (SIZE[1], SIZE[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_item(layout: Layout, images: int, case: Case) -> tuple[list[tuple[int, int, int, int]], list[Document]]:
    """Write the documents and the image tar of one work item; return its pairs and documents."""
    rng, words = np.random.default_rng(0), random.Random(0)
    documents, pairs = [], []
    with open_whole(layout.image_tar(ITEM)) as tar:
        for number in range(images):
            text = " ".join(_sentence(words, 12) for _ in range(case.sentences)) or "-"
            nodes = (ImageNode(url=f"u{number}", alt=_sentence(words, 8)), TextNode(text=text))
            documents.append(new_document(nodes, Origin(dump="made", offset=number, url=f"p{number}")))
            data = make_picture(rng)
            pairs.append((number, 0, tar.tell() + 512, len(data)))
            tar.write(tar_member(f"{number:06d}.jpeg", data))
    with open_table(layout.documents(ITEM), DOCUMENTS, fingerprint="") as table:
        for document in documents:
            table.add(document_row(document))
    return pairs, documents


def _sentence(rng: random.Random, length: int) -> str:
    return " ".join(rng.choices(WORDS, k=length)).capitalize() + "."


def bare(clip: Any, pixels: torch.Tensor, tokens: torch.Tensor, batch: int) -> None:
    """Run both towers on what lies ready, and wait for the end."""
    with torch.inference_mode():
        for at in range(0, len(pixels), batch):
            found = clip.model.encode_image(pixels[at : at + batch], normalize=True)
        for at in range(0, len(tokens), batch):
            found = clip.model.encode_text(tokens[at : at + batch], normalize=True)
        found.sum().item()


def ready(clip: Any, layout: Layout, pairs: Sequence[Any], texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixels and the tokens of all, on the device."""
    data = Path(layout.image_tar(ITEM)).read_bytes()
    images = [decode_rgb(data[offset : offset + size], max_pixels=1 << 24) for _, _, offset, size in pairs]
    pixels = torch.stack([clip.preprocess(image) for image in images]).to(clip.device, clip.dtype)
    tokens = clip.texts.tokenizer(list(texts)) if texts else torch.empty(0, 77, dtype=torch.long)
    return pixels, tokens.to(clip.device)


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of one call, and the CPU seconds of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - cpu


def measure(folder: str, weights: str, case: Case, options: argparse.Namespace) -> None:
    """Run one case and print its line."""
    layout = Layout(f"{folder}/{case.sentences}{case.texts}")
    pairs, documents = make_item(layout, options.images, case)
    step = ClipScore(
        model=f"local-dir:{weights}", precision=options.precision, texts=case.texts,  # type: ignore[arg-type]
        embeddings="image", batch_size=options.batch_size,
    )  # fmt: skip
    scorer: Any = step.load(options.device)
    texts = list(dict.fromkeys(text for document in documents for text in step.texts_for(document, 0)))
    pixels, tokens = ready(scorer.clip, layout, pairs, texts)
    runs = iter(range(1 << 30))
    contenders = {
        "ours": lambda: score_item(scorer, "clip", step, ITEM, layout, pairs, f"run {next(runs)}"),
        "bare": lambda: bare(scorer.clip, pixels, tokens, options.batch_size),
    }
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for run in range(options.runs + 1):
        for name, function in contenders.items():
            spent, spent_cpu = timed(function)
            if run:  # the first warms up
                wall[name].append(options.images / spent)
                cpu[name].append(spent_cpu)
    assert read_table(layout.pair_scores("clip", ITEM)).column("embedding").null_count == 0
    median = {name: statistics.median(found) for name, found in wall.items()}
    shown = "  ".join(f"{name} {spread(found, 1)}" for name, found in wall.items())
    of_cpu = statistics.median(cpu["bare"]) / statistics.median(cpu["ours"])
    share = f"share {median['ours'] / median['bare']:.2f}  of CPU {of_cpu:.2f}"
    print(f"{case.name:22} images/s  {shown}  {share}", flush=True)


def make_weights(name: str, folder: Path) -> str:
    """Write the model with random weights as open_clip loads a folder."""
    declare_torchvision_ops()
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = open_clip.get_model_config(name)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.create_model(name, pretrained=None)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return str(folder)


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(heading(sys.executable, ["torch", "open_clip_torch"], options.runs))
    print(f"{options.model} {options.precision} {options.device}, {options.images} images of {SIZE[0]} x {SIZE[1]}, "
          f"batches of {options.batch_size}, {options.threads} threads")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights").mkdir()
        weights = make_weights(options.model, Path(folder) / "weights")
        for case in CASES:
            measure(folder, weights, case, options)


if __name__ == "__main__":
    main()
