"""Commands that train a model on shards, let it speak and hand it on: train, generate, publish."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from PIL import Image
from rich.console import Console

from infimm_data.config import load_settings
from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import read_bytes, resolve
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.stream.templates import TemplateName
from pipelines.report import say
from pipelines.report_page.training_page import write_training_page

if TYPE_CHECKING:
    from model.train import TrainResult

MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "train InfiMM on finished shards; a stopped run goes on where it was"
    train = commands.add_parser("train", help=text, description=text[0].upper() + text[1:] + ".")
    train.add_argument("config", help="YAML recipe, see configs/train/")
    train.add_argument("--data", required=True, help="folder of shards: OUT/shards of a build")
    train.add_argument("--out", required=True, help="folder of the run: checkpoints, metrics.jsonl")
    text = "first weights: a run, one of its checkpoints, or a published folder (default: the recipe's model alone)"
    train.add_argument("--from", dest="start", metavar="RUN", help=text)
    train.add_argument("--restart", action="store_true", help="start anew even if --out holds a checkpoint")
    text = "train in workers of a running Ray cluster, or of Ray on this machine with 'local'; without it, here"
    train.add_argument("--ray", metavar="ADDRESS", help=text)
    train.add_argument("--workers", type=int, metavar="N", help="with --ray: ranks (default: one per GPU, else one)")
    train.epilog = "On many GPUs without Ray: torchrun --nproc-per-node 8 --no-python infimm train ..."
    train.set_defaults(run=run_training)

    text = "continue prompts of texts and pictures with a trained model"
    generate = commands.add_parser("generate", help=text, description=text[0].upper() + text[1:] + ".")
    generate.add_argument("model", help="folder of a training run, of a checkpoint, or of a published model")
    generate.add_argument("--image", action="append", default=[], metavar="FILE", help="picture; may be repeated")
    generate.add_argument("--prompt", default="", help="text after the pictures (default: none)")
    generate.add_argument(
        "--template",
        choices=get_args(TemplateName),
        help="how the prompt is written (default: as in training, or plain)",
    )
    text = 'many prompts: a JSON object a line, {"images": [FILE, ...], "prompt": TEXT}; answers with a JSON line each'
    generate.add_argument("--batch", metavar="FILE", help=text)
    generate.add_argument("--batch-size", type=int, default=16, help="prompts at a time of --batch (default 16)")
    generate.add_argument("--max-tokens", type=int, default=40, help="new tokens at most (default 40)")
    generate.add_argument("--min-tokens", type=int, default=0, help="new tokens at least (default 0)")
    generate.add_argument("--beams", type=int, default=1, help="sequences that grow side by side (default 1: none)")
    generate.add_argument("--length-penalty", type=float, default=1.0, help="of beams, 0: none (default 1)")
    generate.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    generate.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest tokens of this sum (default 1)"
    )
    generate.add_argument("--seed", type=int, default=0, help="for a temperature above 0 (default 0)")
    text = "token that ends a text; may be repeated (default: the end of the text and of a chunk)"
    generate.add_argument("--stop", action="append", metavar="TOKEN", help=text)
    choices = ("auto", "cpu", "cuda")
    generate.add_argument("--device", choices=choices, default="auto", help="cpu, cuda, or auto (default)")
    generate.set_defaults(run=run_generate)

    text = "write a trained model in the published layout, with its tokenizer"
    publish = commands.add_parser("publish", help=text, description=text[0].upper() + text[1:] + ".")
    publish.add_argument("model", help="folder of a training run, or of one of its checkpoints")
    publish.add_argument("--out", required=True, help="folder for config.json, model.safetensors and the tokenizer")
    publish.set_defaults(run=run_publish)


def run_training(arguments: argparse.Namespace, console: Console) -> bool:
    """Train; the exit status is 0 once the last step is done. Under torchrun the first rank speaks for all."""
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        result = _train(arguments)
    except InfiMMError:
        if is_first:
            raise
        sys.exit(1)  # said once, by the first
    except KeyboardInterrupt:
        if is_first:
            raise
        sys.exit(130)
    if not is_first:
        return True
    heldout = "" if result.heldout_loss is None else f", held-out loss {result.heldout_loss:.4f}"
    say(
        console,
        f"{result.steps} steps, loss {result.train_loss:.4f}{heldout}; {result.num_tokens} tokens "
        f"in {result.seconds:.1f} s",
    )
    for reason, number in result.skipped.items():
        say(console, f"left out: {number} {reason}")
    say(console, f"checkpoint: {result.checkpoint}\nmetrics: {result.metrics}")
    say(console, f"look at: {write_training_page(arguments.out)}")
    return True


def _train(arguments: argparse.Namespace) -> TrainResult:
    """Train here, as one rank of torchrun's, or in Ray workers."""
    from model.config import TrainConfig
    from model.sample_captions import SampleCaptions
    from model.train import train

    config, data, out = load_settings(resolve(arguments.config), TrainConfig), arguments.data, arguments.out
    if arguments.ray is None:
        if arguments.workers is not None:
            raise ConfigError("--workers: only with --ray; without it torchrun says how many ranks there are")
        resume = not arguments.restart
        watch = SampleCaptions(data, out, config.stream, keeps=resume)
        return train(config, data=data, out=out, resume=resume, start=arguments.start, watch=watch)
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers {arguments.workers}: expected at least 1")
    from pipelines.commands.train_on_ray import Launch, marks, train_on_ray

    start, replaces = arguments.start and _absolute(arguments.start), marks(out) if arguments.restart else None
    launch = Launch(data=_absolute(data), out=_absolute(out), start=start, replaces=replaces)
    return train_on_ray(config, launch, address=arguments.ray, workers=arguments.workers)


def _absolute(path: str) -> str:
    """Return a local path as workers elsewhere must name it; URLs as they are."""
    return path if "://" in path else str(Path(path).resolve())


def run_generate(arguments: argparse.Namespace, console: Console) -> bool:
    """Print what the model says after the pictures and the prompt, or after each line of a batch."""
    import torch

    from model.export import load_speaker
    from model.generate import Sampling, generate, prompt_of
    from model.infimm import vision_of

    if arguments.batch and (arguments.image or arguments.prompt):
        raise ConfigError("--batch: its lines hold pictures and prompts; leave out --image and --prompt")
    if arguments.batch_size < 1:
        raise ConfigError(f"--batch-size {arguments.batch_size}: expected at least 1")
    lines = _lines(arguments.batch) if arguments.batch else [(arguments.image, arguments.prompt)]
    is_there = torch.cuda.is_available()
    if arguments.device == "cuda" and not is_there:
        raise ConfigError("--device cuda: there is no CUDA device here; use cpu or auto")
    device = ("cuda" if is_there else "cpu") if arguments.device == "auto" else arguments.device
    speaker = load_speaker(arguments.model, device=device)
    tokenizer, vocabulary = speaker.tokenizer, speaker.tokenizer.vocabulary
    try:
        sampling = Sampling(
            max_new_tokens=arguments.max_tokens, min_new_tokens=arguments.min_tokens, beams=arguments.beams,
            length_penalty=arguments.length_penalty, temperature=arguments.temperature, top_p=arguments.top_p,
            seed=arguments.seed, stop=None if arguments.stop is None else tokenizer.ids_of(arguments.stop),
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(f"generate: {error}") from None
    side, template = vision_of(speaker.model).image_side, arguments.template or speaker.template
    for start in range(0, len(lines), arguments.batch_size):
        some = lines[start : start + arguments.batch_size]
        prompts = [
            prompt_of([_picture(file) for file in files], vocabulary, side=side, text=text, template=template)
            for files, text in some
        ]
        for (files, text), ids in zip(some, generate(speaker.model, prompts, vocabulary, sampling), strict=True):
            answer = tokenizer.decode(ids)
            line = {"images": files, "prompt": text, "answer": answer}
            say(console, json.dumps(line, ensure_ascii=False) if arguments.batch else answer)
    return True


def run_publish(arguments: argparse.Namespace, console: Console) -> bool:
    """Write a run's model where others can load it."""
    from model.export import export

    step = export(arguments.model, arguments.out)
    say(console, f"{arguments.out}: the model of step {step}")
    return True


def _lines(path: str) -> list[tuple[list[str], str]]:
    """Return pictures and prompt of each line; raises ConfigError for a line that is none."""
    try:
        rows = read_bytes(path).decode().splitlines()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        raise ConfigError(f"--batch {path}: no such file of UTF-8 text") from None
    found = []
    for number, row in enumerate(rows, 1):
        try:
            line = json.loads(row)
            images, prompt = line.get("images", []), line.get("prompt", "")
        except (ValueError, AttributeError):
            images = prompt = None
        if not isinstance(prompt, str) or not isinstance(images, list) or not all(isinstance(i, str) for i in images):
            raise ConfigError(f'--batch {path}, line {number}: expected {{"images": [FILE, ...], "prompt": TEXT}}')
        found.append((images, prompt))
    return found


def _picture(path: str) -> Image.Image:
    try:
        return decode_rgb(read_bytes(path), max_pixels=MAX_PIXELS)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"--image {path}: no such file") from None
    except BadImage as bad:
        raise ConfigError(f"--image {path}: {bad.reason}; expected a JPEG, PNG, WebP or GIF picture") from None
