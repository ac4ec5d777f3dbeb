import random

import numpy as np
import pytest

from pipelines.demo.captions import describe, noun, paragraph
from pipelines.demo.draw import BACKGROUNDS, COLOURS, SHAPES, THINGS, draw, random_scene, single_scene
from pipelines.demo.scene import Group, Scene


def scenes(number: int, seed: int = 3) -> list[Scene]:
    rng = random.Random(seed)
    return [random_scene(rng) for _ in range(number)]


def test_equal_seeds_draw_equal_pixels():
    first, second = (draw(random_scene(random.Random(5))).tobytes() for _ in range(2))
    assert first == second


def test_pictures_of_one_caption_differ():
    rng = random.Random(5)
    drawn = {draw(single_scene(rng, shape="star", colour="red")).tobytes() for _ in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize("size", [16, 96, 257])
def test_a_picture_has_the_size_asked_for(size):
    image = draw(scenes(1)[0], size)
    assert (image.size, image.mode) == ((size, size), "RGB")


@pytest.mark.parametrize("shape", [*SHAPES, *THINGS])
def test_every_shape_shows_its_colour_on_pale_paper(shape):
    group = Group(shape=shape, colour="blue", centres=((0.5, 0.5),), size=0.4)
    scene = Scene(groups=(group,), background="white", layout="one", seed=1)
    pixels = np.asarray(draw(scene)).astype(int)
    is_blue = (abs(pixels - COLOURS["blue"]) <= 14).all(axis=-1)
    is_paper = (abs(pixels - BACKGROUNDS["white"]) <= 20).all(axis=-1)
    assert is_blue.mean() > 0.05
    assert is_paper.mean() > 0.2


def test_a_ring_has_a_hole_and_a_circle_has_none():
    middles = []
    for shape in ("ring", "circle"):
        group = Group(shape=shape, colour="black", centres=((0.5, 0.5),), size=0.4)
        image = draw(Scene(groups=(group,), background="white", layout="one", seed=1))
        middles.append(image.getpixel((48, 48))[0])
    assert middles[0] > 200
    assert middles[1] < 60


def test_things_stay_inside_the_picture_and_apart():
    for scene in scenes(300):
        placed = [(x, y, group.size) for group in scene.groups for x, y in group.centres]
        assert all(size * 0.99 <= v <= 1 - size * 0.99 for x, y, size in placed for v in (x, y))
        for at, (x, y, size) in enumerate(placed):
            for x2, y2, size2 in placed[at + 1 :]:
                assert max(abs(x - x2), abs(y - y2)) >= (size + size2) * 0.9


def test_half_the_scenes_hold_a_single_thing():
    assert 0.45 < sum(scene.is_single for scene in scenes(1_000)) / 1_000 < 0.55


def test_no_two_groups_of_a_scene_share_shape_or_colour():
    for scene in scenes(300):
        assert len({group.shape for group in scene.groups}) == len(scene.groups)
        assert len({group.colour for group in scene.groups}) == len(scene.groups)


@pytest.mark.parametrize("write", [describe, paragraph])
def test_a_text_names_every_shape_its_colour_and_its_count(write):
    rng = random.Random(1)
    for scene in scenes(300):
        first = write(scene, rng).split(". ")[0].lower()
        for group in scene.groups:
            number = ("a ", "two ", "three ", "four ")[group.count - 1] if group.count > 1 else "a"
            assert f"{group.colour} {noun(group.shape, group.count)}" in first
            assert number in first


def test_a_paragraph_has_two_to_four_sentences():
    rng = random.Random(1)
    assert {paragraph(scene, rng).count(".") for scene in scenes(300)} == {2, 3, 4}


def test_an_article_before_a_vowel_is_an():
    rng = random.Random(1)
    texts = " ".join(describe(scene, rng) + paragraph(scene, rng) for scene in scenes(500)).lower()
    assert " a orange" not in texts
    assert " a azure" not in texts
    assert " an orange" in texts
    assert " an azure" in texts
