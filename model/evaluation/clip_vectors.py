"""CLIP vectors of pictures, stored: what RICES finds alike examples by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from infimm_data.errors import ConfigError
from infimm_data.files import exists, resolve, write_bytes
from infimm_data.progress import Track
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.evaluation.pictures import open_picture
from model.evaluation.recipe import ClipSettings
from model.evaluation.shots import Vectors
from model.evaluation.tasks.contract import Picture

BATCH = 32  # pictures at once: enough for a CPU, little memory


def stored_vectors(
    pictures: Sequence[Picture], settings: ClipSettings, *, device: str = "cpu", max_pixels: int
) -> Vectors:
    """Return the unit vector of each picture, [N, D]; those that the file lacks are computed and added to it.

    Raises ConfigError when the file is of another CLIP, or when that cannot be loaded.
    """
    known = _read(settings)
    missing = list({key(one): one for one in pictures if key(one) not in known}.values())
    if missing:
        known |= _compute(missing, settings, device, max_pixels)
        _write(settings, known)
    return np.stack([known[key(picture)] for picture in pictures])


def key(picture: Picture) -> str:
    """Return what tells a picture from others: its name, with a hash where the bytes are in the question's file."""
    return picture.name if picture.data is None else hashlib.blake2b(picture.data, digest_size=16).hexdigest()


def _read(settings: ClipSettings) -> dict[str, Vectors]:
    if not exists(settings.vectors):
        return {}
    try:
        with safe_open(settings.vectors, framework="numpy") as file:
            about = file.metadata() or {}
            names, vectors = json.loads(about["names"]), file.get_tensor("vectors")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{settings.vectors}: not stored vectors ({error}); remove it to compute them anew") from None
    if about.get("clip") != _name(settings):
        raise ConfigError(
            f"{settings.vectors}: vectors of {about.get('clip')}, the recipe wants {_name(settings)}; give another file"
        )
    return dict(zip(names, vectors, strict=True))


def _write(settings: ClipSettings, known: dict[str, Vectors]) -> None:
    names = sorted(known)
    about = {"clip": _name(settings), "names": json.dumps(names)}
    write_bytes(settings.vectors, save({"vectors": np.stack([known[name] for name in names])}, metadata=about))


def _name(settings: ClipSettings) -> str:
    return f"{settings.model} {settings.pretrained}"


@torch.inference_mode()
def text_vectors(texts: Sequence[str], settings: ClipSettings, *, device: str = "cpu") -> Vectors:
    """Return the unit vector of each text, [N, D]; texts beyond CLIP's context are cut."""
    clip, _ = _load(settings, device)
    import open_clip  # heavy, and loaded by now

    tokenizer = open_clip.get_tokenizer(resolve(settings.model))
    found = []
    for start in range(0, len(texts), BATCH):
        tokens = tokenizer(list(texts[start : start + BATCH])).to(device)
        found.append(torch.nn.functional.normalize(clip.encode_text(tokens).float(), dim=-1).cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def _compute(pictures: Sequence[Picture], settings: ClipSettings, device: str, max_pixels: int) -> dict[str, Vectors]:
    clip, transform = _load(settings, device)
    found: dict[str, Vectors] = {}
    with Track("clip vectors", len(pictures), unit="pictures") as track:
        for start in range(0, len(pictures), BATCH):
            own = pictures[start : start + BATCH]
            pixels = torch.stack([transform(open_picture(one, max_pixels=max_pixels)) for one in own]).to(device)
            vectors = torch.nn.functional.normalize(clip.encode_image(pixels).float(), dim=-1).cpu().numpy()
            found |= {key(one): vector for one, vector in zip(own, vectors, strict=True)}
            track.advance(len(own))
    return found


def _load(settings: ClipSettings, device: str) -> tuple[Any, Any]:
    """Return the CLIP in evaluation mode, and its transform of pictures."""
    declare_torchvision_ops()
    import open_clip  # heavy: only where vectors are missing

    try:
        clip, _, transform = open_clip.create_model_and_transforms(
            resolve(settings.model), pretrained=settings.pretrained and resolve(settings.pretrained)
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"clip '{settings.model}': {str(error).splitlines()[0]}") from None
    return clip.to(device).eval(), transform
