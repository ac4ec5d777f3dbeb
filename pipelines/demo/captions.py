"""Sentences about a scene: a caption that names all of it, and a paragraph as an article would write it."""

from __future__ import annotations

import random

from pipelines.demo.scene import Group, Scene

NUMBERS = ("no", "one", "two", "three", "four")
SMALL, LARGE = 0.2, 0.3  # half extents, in sides: below and above them a thing is called small or large


def noun(shape: str, count: int) -> str:
    """Return the word for `count` (>= 1) things of a shape."""
    if count == 1 or shape == "fish":
        return shape
    return shape + ("es" if shape == "cross" else "s")


def group_phrase(group: Group, *, size: bool = False) -> str:
    """Return "a red circle", "two blue squares"; with `size` also "a large red circle" where it is notable."""
    adjective = f"{size_word(group)} " if size and size_word(group) else ""
    rest = f"{adjective}{group.colour} {noun(group.shape, group.count)}"
    if group.count > 1:
        return f"{NUMBERS[group.count]} {rest}"
    return f"{'an' if rest[0] in 'aeiou' else 'a'} {rest}"


def size_word(group: Group) -> str:
    """Return "small", "large" or "" for a size in between."""
    return "small" if group.size < SMALL else "large" if group.size > LARGE else ""


def place(group: Group) -> str:
    """Return where the middle of a group is, e.g. "in the upper left corner"."""
    x = sum(centre[0] for centre in group.centres) / group.count
    y = sum(centre[1] for centre in group.centres) / group.count
    column = "left" if x < 0.4 else "right" if x > 0.6 else ""
    row = "upper" if y < 0.4 else "lower" if y > 0.6 else ""
    if row and column:
        return f"in the {row} {column} corner"
    if column:
        return f"on the {column} side"
    return {"upper": "near the top", "lower": "near the bottom"}.get(row, "in the centre")


def contents(scene: Scene, rng: random.Random) -> str:
    """Return a phrase, without a full stop, that names shape, colour and count of every group."""
    groups = scene.groups
    if len(groups) == 1:
        phrase = group_phrase(groups[0], size=rng.random() < 0.4)
        ends = ("", f" {place(groups[0])}", f" on {_background(scene)} background")
        return phrase + rng.choice(ends)
    phrases = [group_phrase(group, size=rng.random() < 0.15) for group in groups]
    if scene.layout == "row" and len(groups) == 2:
        relations = ("{0} to the left of {1}", "{1} to the right of {0}", "{0} and {1} side by side", "{0} next to {1}")
        return rng.choice(relations).format(*phrases)
    if scene.layout == "column":
        return rng.choice(("{0} above {1}", "{1} below {0}", "{0} and {1}", "{0} over {1}")).format(*phrases)
    listed = f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return listed + (rng.choice((" from left to right", "")) if scene.layout == "row" else "")


def describe(scene: Scene, rng: random.Random) -> str:
    """Return one caption sentence that names every shape, its colour and its count."""
    openings = ("", "", "", "A drawing of ", "A picture of ", "This picture shows ", "Here we see ")
    return _sentence(rng.choice(openings) + contents(scene, rng))


def paragraph(scene: Scene, rng: random.Random) -> str:
    """Return 2-4 sentences about the picture in an article's tone; the first names everything."""
    openings = (
        "The picture shows {}", "In this drawing the artist placed {}", "Look closely and you will find {}",
        "What we see here is {}", "The illustration has {}", "Readers will notice {}", "On the sheet we find {}",
        "Our example shows {}",
    )  # fmt: skip
    first = _sentence(rng.choice(openings).format(contents(scene, rng)))
    details = [detail for group in scene.groups for detail in _details(scene, group, rng)]
    return " ".join([first, *rng.sample(details, min(rng.choice((1, 2, 2, 3)), len(details)))])


def _details(scene: Scene, group: Group, rng: random.Random) -> list[str]:
    """Return two sentences on one group: where it is or how it looks, and its count or colour."""
    colour, name = group.colour, noun(group.shape, group.count)
    where: tuple[str, ...]
    what: tuple[str, ...]
    if group.count == 1:
        looks = size_word(group) or "of medium size"
        where = (
            f"The {colour} {name} is {looks} and sits {place(group)}",
            f"The {name}, painted {colour}, stands {place(group)}",
            f"{place(group).capitalize()} there is the {colour} {name}",
        )
        what = (
            f"There is only one {name}, and it is {colour}",
            f"The {name} is {colour}, and it stands out on the {scene.background} paper",
            f"The colour of the {name} is {colour}",
        )
    else:
        number = NUMBERS[group.count]
        where = (
            f"The {number} {colour} {name} sit {place(group)}",
            f"The {colour} {name}, {number} in all, are {place(group)}",
        )
        what = (
            f"We counted {number} {name}, all of them {colour}",
            f"Each of the {name} is {colour} on the {scene.background} paper",
        )
    return [_sentence(rng.choice(where)), _sentence(rng.choice(what))]


def _background(scene: Scene) -> str:
    return f"{'an' if scene.background[0] in 'aeiou' else 'a'} {scene.background}"


def _sentence(phrase: str) -> str:
    return phrase[0].upper() + phrase[1:] + "."
