"""What a demo picture shows: groups of things of one shape and colour, where they stand, on what background."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import MappingProxyType

Point = tuple[float, float]
"""x from the left, y from the top, as fractions of the picture's side."""

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "ring", "diamond")
"""Plain shapes, each told from the others by its outline alone."""

THINGS = ("house", "tree", "boat", "car", "fish", "sun")
"""Things composed of several shapes; their body has the colour of the group."""

COLOURS = MappingProxyType(
    {
        "red": (212, 30, 38),
        "orange": (247, 134, 20),
        "yellow": (242, 208, 24),
        "green": (36, 148, 62),
        "blue": (32, 84, 204),
        "purple": (124, 44, 158),
        "pink": (246, 122, 182),
        "black": (24, 24, 28),
    }
)
"""RGB of each colour, chosen far enough apart that jitter and JPEG never mix two of them up."""

BACKGROUNDS = MappingProxyType(
    {
        "white": (253, 253, 253),
        "cream": (250, 243, 220),
        "silver": (226, 228, 232),
        "mint": (220, 242, 228),
        "azure": (218, 234, 248),
    }
)
"""RGB of each background: pale, under names that are no colour of a thing."""

COUNTS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Things of one shape and colour. centres: one point per thing; size: half their extent, in sides."""

    shape: str
    colour: str
    centres: tuple[Point, ...]
    size: float

    @property
    def count(self) -> int:
        """How many things the group holds, 1-4."""
        return len(self.centres)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One picture. layout: "one", "row" (left to right), "column" (top to bottom) or "landscape".

    seed: of the jitter in tint, tilt and paper, so that two pictures of one scene text still differ; the same
    scene always draws the same pixels.
    """

    groups: tuple[Group, ...]
    background: str
    layout: str
    seed: int

    @property
    def key(self) -> tuple[tuple[str, str, int], ...]:
        """Shape, colour and count of each group, sorted: two scenes of one key share their captions."""
        return tuple(sorted((group.shape, group.colour, group.count) for group in self.groups))

    @property
    def is_single(self) -> bool:
        """Whether exactly one thing is drawn, so that "which shape, which colour" has one answer."""
        return len(self.groups) == 1 and self.groups[0].count == 1


def random_scene(rng: random.Random) -> Scene:
    """Return a scene: half hold a single thing, the others several, groups or a small landscape."""
    kind = rng.choices(("single", "several", "groups", "landscape"), (50, 15, 27, 8))[0]
    if kind == "single":
        return single_scene(rng)
    if kind == "several":
        groups = _placed(rng, _kinds(rng, 1), (rng.choice(COUNTS[1:]),), "row")
        return _scene(rng, groups, "one")
    if kind == "landscape":
        return _landscape(rng)
    number = rng.choices((2, 3), (70, 30))[0]
    layout = rng.choice(("row", "column")) if number == 2 else "row"
    counts = tuple(rng.choices(COUNTS[: 6 - number], (5, 3, 2, 1)[: 6 - number])[0] for _ in range(number))
    return _scene(rng, _placed(rng, _kinds(rng, number), counts, layout), layout)


def single_scene(rng: random.Random, *, shape: str | None = None, colour: str | None = None) -> Scene:
    """Return a scene of one thing, anywhere in the picture; shape and colour are drawn where None."""
    drawn = _kinds(rng, 1)[0]
    size = rng.uniform(0.14, 0.4)
    low, high = size + 0.03, 0.97 - size
    centre = (rng.uniform(low, high), rng.uniform(low, high))
    group = Group(shape=shape or drawn[0], colour=colour or drawn[1], centres=(centre,), size=size)
    return _scene(rng, (group,), "one")


def _scene(rng: random.Random, groups: tuple[Group, ...], layout: str) -> Scene:
    background = rng.choice(tuple(BACKGROUNDS))
    return Scene(groups=groups, background=background, layout=layout, seed=rng.getrandbits(32))


def _kinds(rng: random.Random, number: int) -> list[tuple[str, str]]:
    """Draw shapes and colours, all different within a scene; one in seven is a composed thing."""
    shapes: list[str] = []
    while len(shapes) < number:
        shape = rng.choice(THINGS if rng.random() < 1 / 7 else SHAPES)
        if shape not in shapes:
            shapes.append(shape)
    return list(zip(shapes, rng.sample(tuple(COLOURS), number), strict=True))


def _placed(
    rng: random.Random, kinds: list[tuple[str, str]], counts: tuple[int, ...], layout: str
) -> tuple[Group, ...]:
    """Give each group its band of the picture and put its things on a jittered grid inside that band."""
    groups = []
    for index, ((shape, colour), count) in enumerate(zip(kinds, counts, strict=True)):
        start, extent = index / len(kinds), 1 / len(kinds)
        band = (start, 0.0, extent, 1.0) if layout == "row" else (0.0, start, 1.0, extent)
        centres, size = _grid(rng, band, count)
        groups.append(Group(shape=shape, colour=colour, centres=centres, size=size))
    return tuple(groups)


def _grid(rng: random.Random, band: tuple[float, float, float, float], count: int) -> tuple[tuple[Point, ...], float]:
    """Return centres and half extent of `count` things that do not touch inside `band` (x, y, width, height)."""
    x, y, width, height = band
    options = [(columns, -(-count // columns)) for columns in range(1, count + 1)]
    columns, rows = max(options, key=lambda option: (min(width / option[0], height / option[1]), rng.random()))
    cell_x, cell_y = width / columns, height / rows
    size = min(min(cell_x, cell_y) / 2 * rng.uniform(0.62, 0.88), 0.3)
    cells = sorted(rng.sample([(c, r) for c in range(columns) for r in range(rows)], count))
    slack_x, slack_y = cell_x / 2 - size / 0.95, cell_y / 2 - size / 0.95
    centres = tuple(
        (x + (c + 0.5) * cell_x + rng.uniform(-1, 1) * slack_x, y + (r + 0.5) * cell_y + rng.uniform(-1, 1) * slack_y)
        for c, r in cells
    )
    return centres, size


def _landscape(rng: random.Random) -> Scene:
    """Two or three different things on the ground, the sun in the sky in most of them."""
    number = rng.choice((2, 2, 3))
    shapes = rng.sample([thing for thing in THINGS if thing != "sun"], number)
    colours = rng.sample(tuple(COLOURS), number)
    size = 0.42 / number + rng.uniform(-0.02, 0.02)
    groups = []
    for index, (shape, colour) in enumerate(zip(shapes, colours, strict=True)):
        centre = ((index + 0.5) / number, 0.86 - size + rng.uniform(-0.02, 0.04))
        groups.append(Group(shape=shape, colour=colour, centres=(centre,), size=size))
    if number == 2 and rng.random() < 0.7:
        left = [colour for colour in COLOURS if colour not in colours]
        centre = (rng.uniform(0.2, 0.8), 0.19)
        groups.append(Group(shape="sun", colour=rng.choice(left), centres=(centre,), size=0.15))
    return _scene(rng, tuple(groups), "landscape")
