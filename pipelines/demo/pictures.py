"""Picture files of the demo, and the held-back pictures by which its model's captions are judged."""

from __future__ import annotations

import io
import random
import re

from PIL import Image

from pipelines.demo.draw import draw
from pipelines.demo.scene import COLOURS, SHAPES, THINGS, Scene, single_scene

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
"""File extension -> Content-Type."""

FORMATS = {"jpg": 66, "webp": 16, "png": 9, "gif": 9}
"""File extension -> share of the pictures, per cent; PNG and GIF store the paper's texture at three times the size."""


def encode(image: Image.Image, extension: str) -> bytes:
    """Return the file of a picture; the same pixels give the same bytes under one Pillow version."""
    file = io.BytesIO()
    if extension == "jpg":
        image.save(file, "JPEG", quality=82)
    elif extension == "webp":
        image.save(file, "WEBP", quality=82, method=4)
    elif extension == "gif":
        image.quantize(64, dither=Image.Dither.NONE).save(file, "GIF")
    else:
        image.save(file, "PNG", optimize=True)
    return file.getvalue()


def random_file(scene: Scene, rng: random.Random) -> tuple[str, bytes]:
    """Return (extension, file) of the scene, 96-160 pixels wide, one in twenty 256."""
    size = 256 if rng.random() < 0.05 else rng.choice((96, 112, 128, 144, 160))
    extension = rng.choices(list(FORMATS), list(FORMATS.values()))[0]
    return extension, encode(draw(scene, size), extension)


def held_back(count: int, seed: int) -> list[tuple[Image.Image, Scene]]:
    """Return `count` pictures of one plain shape each, 128 pixels wide, that no dump and no training has.

    Every pair of shape and colour comes equally often, as far as `count` (>= 0) divides. The seed's name space is
    its own: the dump and CLIP's training draw from others.
    """
    rng = random.Random(f"held back {seed}")
    names = [(shape, colour) for shape in SHAPES for colour in COLOURS]
    chosen = [*names * (count // len(names)), *rng.sample(names, count % len(names))]
    rng.shuffle(chosen)
    scenes = [single_scene(rng, shape=shape, colour=colour) for shape, colour in chosen]
    return [(draw(scene, 128), scene) for scene in scenes]


def names_shape_and_colour(caption: str, scene: Scene) -> tuple[bool, bool]:
    """Say whether a caption of a single-thing scene names its shape, and its colour.

    Only the first sentence counts, and a caption that names several shapes or several colours names none: else a
    list of all of them would be right about every picture. Raises ValueError on a scene of several things.
    """
    if not scene.is_single:
        raise ValueError(f"scene {scene.key}: expected a single thing; draw it with single_scene")
    first = re.split(r"[.!?\n]", caption.strip(), maxsplit=1)[0].lower()
    words = re.findall(r"[a-z]+", first)
    shapes = {shape for shape in (*SHAPES, *THINGS) if shape in words or _plural(shape) in words}
    colours = {colour for colour in COLOURS if colour in words}
    group = scene.groups[0]
    return shapes == {group.shape}, colours == {group.colour}


def _plural(shape: str) -> str:
    return shape + ("es" if shape == "cross" else "s")
