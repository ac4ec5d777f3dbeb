"""The demo: from the project's own crawl to a model that names what it sees, and to what shows that it does."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from infimm_data.config import load_settings
from infimm_data.files import join, resolve, write_bytes
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import IGNORED
from model.checkpoint import load_model
from model.config import TrainConfig
from model.generate import Sampling, generate, prompt_of
from model.infimm import vision_of
from model.sample_captions import SampleCaptions
from model.train import TrainResult, train
from model.train_log import read_metrics
from pipelines.build import build
from pipelines.demo.pictures import held_back, names_shape_and_colour
from pipelines.demo.plots import Curve, plot_captions, plot_losses
from pipelines.demo.server import PictureServer
from pipelines.executor import Cluster
from pipelines.layout import Layout
from pipelines.recipe import load_recipe
from pipelines.report import funnel_or_none, say, show_funnel
from pipelines.report_page.build_page import write_build_page
from pipelines.report_page.training_page import write_training_page
from pipelines.run import Run

BUILD_RECIPE = "package:configs/build/demo.yaml"
TRAIN_RECIPE = "package:configs/train/demo.yaml"
PICTURES = 96  # held-back pictures that are captioned: a fraction is then known to about +-4 % (one sigma at .8)
PICTURES_SEED = 2_026
SHOWN = 24  # of them in the caption sheet
CAPTION_TOKENS = 24
TOKENS_AFTER = 16  # about one sentence


@dataclass(frozen=True)
class CaptionScore:
    """Fractions of held-back pictures whose caption names the right shape, colour, or both."""

    shape: float
    colour: float
    both: float


def tell(out: str, console: Console, *, workers: int | None = None) -> bool:
    """Build, train with and without images, caption held-back pictures; return whether nothing failed."""
    started = time.monotonic()
    console.rule("1 of 4: a crawl becomes shards")
    run = build_dataset(join(out, "build"), workers)
    console.rule("2 of 4: InfiMM trains on the shards")
    config = load_settings(resolve(TRAIN_RECIPE), TrainConfig)
    watch = SampleCaptions(run.layout.shards, join(out, "model"), config.stream)
    with_images = train(config, data=run.layout.shards, out=join(out, "model"), watch=watch)
    write_training_page(join(out, "model"))
    console.rule("3 of 4: the same model, the same text, no images")
    twin = config.model_copy(update={"stream": config.stream.model_copy(update={"images": False})})
    without_images = train(twin, data=run.layout.shards, out=join(out, "text_only"))
    console.rule("4 of 4: what does it say of pictures it never saw?")
    right, shuffled = caption_held_back(join(out, "model"), join(out, "captions.png"))
    plot_losses(
        [_curve("with images", join(out, "model")), _curve("text only", join(out, "text_only"))],
        join(out, "losses.png"),
    )
    summary = {
        "heldout_loss": {"with_images": with_images.heldout_loss, "text_only": without_images.heldout_loss},
        "heldout_loss_after_images": {
            "with_images": loss_after_images(join(out, "model"), run.layout.shards),
            "text_only": loss_after_images(join(out, "text_only"), run.layout.shards),
        },
        "captions": {"own_picture": asdict(right), "shuffled_pictures": asdict(shuffled), "pictures": PICTURES},
        "seconds": _seconds(run, with_images, without_images, time.monotonic() - started),
    }
    write_bytes(join(out, "summary.json"), (json.dumps(summary, indent=1) + "\n").encode())
    show(out, run.layout, summary, console)
    return not run.failed


def build_dataset(out: str, workers: int | None) -> Run:
    """Build the demo's shards, with its picture server running on the loopback address."""
    recipe = load_recipe(resolve(BUILD_RECIPE))
    with PictureServer() as server, Cluster(workers=workers) as cluster:
        connect_to = dict.fromkeys(recipe.fetch.allow_private_hosts, server.address)
        run = Run(recipe, Layout(out), cluster, connect_to)
        build(run)
    write_build_page(run.layout)
    return run


@torch.inference_mode()
def loss_after_images(run: str, shards: str) -> float:
    """Return the held-out loss on the TOKENS_AFTER tokens behind each `<image>` alone, in nats per token.

    There the text says what is to be seen for the first time; over a whole article most words can be guessed
    from the words before them, with or without pictures.
    """
    loaded = load_model(run)
    vocabulary, side = loaded.tokenizer.vocabulary, vision_of(loaded.model).image_side
    total, targets = 0.0, 0
    for batch in one_pass(shards, vocabulary, loaded.config.stream, image_side=side, rows=loaded.config.rows_per_step):
        near = torch.zeros_like(batch.labels, dtype=torch.bool)
        for distance in range(1, TOKENS_AFTER + 1):
            near[:, distance:] |= batch.input_ids[:, :-distance] == vocabulary.image
        output = loaded.model(
            batch.input_ids,
            document_ids=batch.document_ids,
            position_ids=batch.position_ids,
            image_index=batch.image_index,
            images=batch.images,
            labels=batch.labels.masked_fill(~near, IGNORED),
        )
        assert output.loss_sum is not None
        total, targets = total + float(output.loss_sum), targets + output.num_targets
    return total / max(targets, 1)


def caption_held_back(run: str, sheet: str) -> tuple[CaptionScore, CaptionScore]:
    """Caption pictures that are in no dump; score the captions against their own and against shuffled pictures.

    Shuffled: each picture is judged by the caption of the next one. What remains right there is what a model
    that never looks would get.
    """
    loaded = load_model(run)
    pictures = held_back(PICTURES, seed=PICTURES_SEED)
    vocabulary, side = loaded.tokenizer.vocabulary, vision_of(loaded.model).image_side
    prompts = [prompt_of([picture], vocabulary, side=side) for picture, _ in pictures]
    ids = generate(loaded.model, prompts, vocabulary, Sampling(max_new_tokens=CAPTION_TOKENS))
    captions = [loaded.tokenizer.decode(tokens) for tokens in ids]
    judged = [names_shape_and_colour(caption, scene) for caption, (_, scene) in zip(captions, pictures, strict=True)]
    moved = [*captions[1:], captions[0]]
    shuffled = [names_shape_and_colour(caption, scene) for caption, (_, scene) in zip(moved, pictures, strict=True)]
    shown = zip(pictures[:SHOWN], captions, judged, strict=False)
    plot_captions([(picture, caption, all(found)) for (picture, _), caption, found in shown], sheet)
    return _score(judged), _score(shuffled)


def _score(judged: list[tuple[bool, bool]]) -> CaptionScore:
    count = len(judged)
    return CaptionScore(
        shape=sum(shape for shape, _ in judged) / count,
        colour=sum(colour for _, colour in judged) / count,
        both=sum(shape and colour for shape, colour in judged) / count,
    )


def _curve(name: str, run: str) -> Curve:
    """Read the losses that a run logged."""
    lines = read_metrics(Path(run) / "metrics.jsonl")
    training = [line for line in lines if "loss" in line]
    held_out = [(line["step"], line["heldout_loss"]) for line in lines if "heldout_loss" in line]
    return Curve(name, [line["step"] for line in training], [line["loss"] for line in training], held_out)


def _seconds(run: Run, with_images: TrainResult, without_images: TrainResult, total: float) -> dict[str, float]:
    passes = {report.name: round(report.seconds, 1) for report in run.reports}
    training = {"train": round(with_images.seconds, 1), "train text only": round(without_images.seconds, 1)}
    return {**passes, **training, "total": round(total, 1)}


def show(out: str, layout: Layout, summary: dict[str, Any], console: Console) -> None:
    """Print the funnel, the losses, the captions, the times and where to look."""
    funnel = funnel_or_none(layout)
    if funnel:
        show_funnel(funnel, console)
    loss, captions = summary["heldout_loss"], summary["captions"]
    after = summary["heldout_loss_after_images"]
    say(console, f"held-out loss: {loss['with_images']:.3f} with images, {loss['text_only']:.3f} text only")
    say(
        console,
        f"held-out loss on the {TOKENS_AFTER} tokens after each image: "
        f"{after['with_images']:.3f} with images, {after['text_only']:.3f} text only",
    )
    for name in ("own_picture", "shuffled_pictures"):
        score = captions[name]
        say(
            console,
            f"captions of {captions['pictures']} held-back pictures, {name.replace('_', ' ')}: shape right "
            f"{score['shape']:.0%}, colour {score['colour']:.0%}, both {score['both']:.0%}",
        )
    say(console, "seconds: " + ", ".join(f"{name} {value}" for name, value in summary["seconds"].items()))
    for name, text in (
        ("build/report/index.html", "the dataset, to look at"),
        ("build/report/funnel.json", "the funnel"),
        ("build/shards/", "the shards"),
        ("model/report/index.html", "the training, to look at"),
        ("losses.png", "the loss curves"),
        ("captions.png", "what it says of pictures it never saw"),
        ("summary.json", "these figures"),
    ):
        say(console, f"  {join(out, name)}  {text}")
    say(console, f"look into it: infimm inspect {layout.out}; infimm generate {join(out, 'model')} --image FILE")
