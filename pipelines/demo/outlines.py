"""Outlines of the drawn shapes and things, as filled polygons in a box from -1 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A filled polygon. fill: "body" (the group's colour), "hole" (nothing), "dark", "light" or "wood"."""

    outline: Polygon
    fill: str = "body"


@cache
def parts(shape: str) -> tuple[Part, ...]:
    """Return the polygons of a shape or thing in the order of painting; raises KeyError on an unknown one."""
    return {**_plain(), **_composed()}[shape]


def _ellipse(x: float = 0, y: float = 0, rx: float = 1, ry: float = 1, corners: int = 48) -> Polygon:
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return tuple((x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns)


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _star(points: int, inner: float) -> Polygon:
    turns = [math.pi * i / points - math.pi / 2 for i in range(2 * points)]
    radii = [1.0 if i % 2 == 0 else inner for i in range(2 * points)]
    return tuple((r * math.cos(t), r * math.sin(t)) for r, t in zip(radii, turns, strict=True))


def _heart() -> Polygon:
    turns = [2 * math.pi * i / 48 for i in range(48)]
    # The usual heart curve, scaled into the box.
    return tuple(
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16)
        for t in turns
    )


def _plain() -> dict[str, tuple[Part, ...]]:
    cross = ((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),
             (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3))  # fmt: skip
    return {
        "circle": (Part(_ellipse()),),
        "square": (Part(_box(-0.88, -0.88, 0.88, 0.88)),),
        "triangle": (Part(((0, -1), (1, 0.85), (-1, 0.85))),),
        "star": (Part(_star(5, 0.42)),),
        "cross": (Part(cross),),
        "heart": (Part(_heart()),),
        "ring": (Part(_ellipse()), Part(_ellipse(rx=0.58, ry=0.58), "hole")),
        "diamond": (Part(((0, -1), (0.62, 0), (0, 1), (-0.62, 0))),),
    }


def _composed() -> dict[str, tuple[Part, ...]]:
    return {
        "house": (
            Part(_box(-0.8, -0.15, 0.8, 1)),
            Part(((-1, -0.15), (0, -1), (1, -0.15)), "wood"),
            Part(_box(-0.18, 0.35, 0.22, 1), "light"),
            Part(_box(-0.62, 0.15, -0.32, 0.45), "light"),
        ),
        "tree": (Part(_box(-0.16, 0.2, 0.16, 1), "wood"), Part(_ellipse(y=-0.3, rx=0.78, ry=0.7))),
        "boat": (
            Part(((-1, 0.35), (1, 0.35), (0.6, 1), (-0.6, 1))),
            Part(_box(-0.06, -1, 0.06, 0.35), "wood"),
            Part(((0.12, -0.9), (0.8, 0.2), (0.12, 0.2)), "light"),
        ),
        "car": (
            Part(_box(-1, 0.05, 1, 0.6)),
            Part(((-0.55, 0.1), (-0.35, -0.45), (0.35, -0.45), (0.6, 0.1))),
            Part(_ellipse(-0.55, 0.62, 0.26, 0.26), "dark"),
            Part(_ellipse(0.55, 0.62, 0.26, 0.26), "dark"),
            Part(((-0.25, 0.02), (-0.2, -0.3), (0.2, -0.3), (0.3, 0.02)), "light"),
        ),
        "fish": (
            Part(_ellipse(-0.2, 0, 0.78, 0.48)),
            Part(((0.4, 0), (1, -0.5), (1, 0.5))),
            Part(_ellipse(-0.62, -0.1, 0.09, 0.09), "light"),
        ),
        "sun": (Part(_star(12, 0.62)), Part(_ellipse(rx=0.72, ry=0.72))),
    }
