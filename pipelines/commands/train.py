"""Commands that train a model on shards and let it speak: train, generate."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from PIL import Image
from rich.console import Console

from infimm_data.config import load_settings
from infimm_data.errors import ConfigError
from infimm_data.files import read_bytes, resolve
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.stream.templates import TemplateName
from pipelines.report import say

MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    text = "train InfiMM on finished shards; a stopped run goes on where it was"
    train = commands.add_parser("train", help=text, description=text[0].upper() + text[1:] + ".")
    train.add_argument("config", help="YAML recipe, see configs/train/")
    train.add_argument("--data", required=True, help="folder of shards: OUT/shards of a build")
    train.add_argument("--out", required=True, help="folder of the run: checkpoints, metrics.jsonl")
    train.add_argument("--restart", action="store_true", help="start anew even if --out holds a checkpoint")
    train.set_defaults(run=run_training)

    text = "continue a prompt of texts and pictures with a trained model"
    generate = commands.add_parser("generate", help=text, description=text[0].upper() + text[1:] + ".")
    generate.add_argument("checkpoint", help="folder of a training run, or of one of its checkpoints")
    generate.add_argument("--image", action="append", default=[], metavar="FILE", help="picture; may be repeated")
    generate.add_argument("--prompt", default="", help="text after the pictures (default: none)")
    generate.add_argument(
        "--template", choices=get_args(TemplateName), help="how the prompt is written (default: as in training)"
    )
    generate.add_argument("--max-tokens", type=int, default=40, help="new tokens at most (default 40)")
    generate.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    generate.add_argument("--seed", type=int, default=0, help="for a temperature above 0 (default 0)")
    generate.set_defaults(run=run_generate)


def run_training(arguments: argparse.Namespace, console: Console) -> bool:
    """Train; the exit status is 0 once the last step is done."""
    from model.config import TrainConfig
    from model.train import train

    config = load_settings(resolve(arguments.config), TrainConfig)
    result = train(config, data=arguments.data, out=arguments.out, resume=not arguments.restart)
    heldout = "" if result.heldout_loss is None else f", held-out loss {result.heldout_loss:.4f}"
    say(
        console,
        f"{result.steps} steps, loss {result.train_loss:.4f}{heldout}; {result.num_tokens} tokens "
        f"in {result.seconds:.1f} s",
    )
    say(console, f"checkpoint: {result.checkpoint}\nmetrics: {result.metrics}")
    return True


def run_generate(arguments: argparse.Namespace, console: Console) -> bool:
    """Print what the model says after the pictures and the prompt."""
    from model.checkpoint import load_model
    from model.generate import Sampling, generate, prompt_of
    from model.infimm import vision_of

    pictures = [_picture(path) for path in arguments.image]
    loaded = load_model(arguments.checkpoint)
    vocabulary = loaded.tokenizer.vocabulary
    side, template = vision_of(loaded.model).image_side, arguments.template or loaded.config.stream.template
    prompt = prompt_of(pictures, vocabulary, side=side, text=arguments.prompt, template=template)
    sampling = Sampling(max_new_tokens=arguments.max_tokens, temperature=arguments.temperature, seed=arguments.seed)
    (tokens,) = generate(loaded.model, [prompt], vocabulary, sampling)
    say(console, loaded.tokenizer.decode(tokens))
    return True


def _picture(path: str) -> Image.Image:
    try:
        return decode_rgb(read_bytes(path), max_pixels=MAX_PIXELS)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"--image {path}: no such file") from None
    except BadImage as bad:
        raise ConfigError(f"--image {path}: {bad.reason}; expected a JPEG, PNG, WebP or GIF picture") from None
