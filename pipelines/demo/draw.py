"""Draws a scene: paper with a faint texture, then each group, anti-aliased by drawing its mask four times larger.

    scene = random_scene(random.Random(7))
    image, caption = draw(scene), describe(scene, random.Random(7))

Measured: 2 ms per picture of 96 pixels on one core.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from pipelines.demo.captions import describe, paragraph
from pipelines.demo.outlines import Part, parts
from pipelines.demo.scene import BACKGROUNDS, COLOURS, SHAPES, THINGS, Group, Scene, random_scene, single_scene

__all__ = [
    "BACKGROUNDS", "COLOURS", "SHAPES", "THINGS", "Group", "Scene",
    "describe", "draw", "paragraph", "random_scene", "single_scene",
]  # fmt: skip

RGB = tuple[int, int, int]

_SCALE = 4  # masks are drawn this much larger and reduced
_TILT = math.radians(9)  # more would turn a square into a diamond
_WOOD: RGB = (122, 84, 52)
_DARK: RGB = (52, 52, 58)
_LIGHT: RGB = (250, 248, 242)
_GROUND: RGB = (222, 214, 190)


def draw(scene: Scene, size: int = 96) -> Image.Image:
    """Return the scene as an RGB picture of `size` x `size` pixels (>= 16); equal scenes give equal pixels."""
    rng = random.Random(scene.seed)
    canvas = _paper(scene, size, rng)
    if scene.layout == "landscape":
        canvas.paste(_tint(_GROUND, rng, 6), (0, round(size * 0.82), size, size))
    for group in scene.groups:
        _paint(canvas, group, rng)
    return canvas


def _paper(scene: Scene, size: int, rng: random.Random) -> Image.Image:
    """A background with faint soft clouds, so that no two pictures share their pixels or perceptual hash."""
    base = BACKGROUNDS[scene.background]
    cells = 6
    clouds = Image.new("RGB", (cells, cells))
    clouds.putdata([_shade(base, rng.randint(-13, 4)) for _ in range(cells * cells)])
    return clouds.resize((size, size), Image.Resampling.BICUBIC)


def _paint(canvas: Image.Image, group: Group, rng: random.Random) -> None:
    body = _tint(COLOURS[group.colour], rng, 12)
    palette = {"body": body, "wood": _WOOD, "dark": _DARK, "light": _LIGHT}
    tilt = _TILT if group.shape in SHAPES else _TILT / 3
    turns = [rng.uniform(-tilt, tilt) for _ in group.centres]
    layers: list[list[Part]] = []  # neighbouring parts of one fill share a mask; a hole belongs to the one before
    for part in parts(group.shape):
        if layers and part.fill in ("hole", layers[-1][0].fill):
            layers[-1].append(part)
        else:
            layers.append([part])
    for layer in layers:
        mask = _mask(canvas.width, group, layer, turns)
        canvas.paste(palette[layer[0].fill], (0, 0), mask)


def _mask(size: int, group: Group, layer: list[Part], turns: list[float]) -> Image.Image:
    big = size * _SCALE
    mask = Image.new("L", (big, big), 0)
    pen = ImageDraw.Draw(mask)
    for (x, y), turn in zip(group.centres, turns, strict=True):
        cos, sin = math.cos(turn) * group.size * big, math.sin(turn) * group.size * big
        for part in layer:
            points = [(x * big + px * cos - py * sin, y * big + px * sin + py * cos) for px, py in part.outline]
            pen.polygon(points, fill=0 if part.fill == "hole" else 255)
    return mask.reduce(_SCALE)


def _tint(colour: RGB, rng: random.Random, jitter: int) -> RGB:
    red, green, blue = (min(255, max(0, value + rng.randint(-jitter, jitter))) for value in colour)
    return red, green, blue


def _shade(colour: RGB, change: int) -> RGB:
    red, green, blue = (min(255, max(0, value + change)) for value in colour)
    return red, green, blue
