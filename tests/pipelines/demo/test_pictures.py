import io
import random
from collections import Counter

import pytest
from PIL import Image

from pipelines.demo.pictures import FORMATS, encode, held_back, names_shape_and_colour, random_file
from pipelines.demo.scene import SHAPES, random_scene, single_scene

RED_CIRCLE = single_scene(random.Random(1), shape="circle", colour="red")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A red circle.", (True, True)),
        ("This picture shows two red circles.", (True, True)),
        ("A blue circle.", (True, False)),
        ("A red square.", (False, True)),
        ("A blue square.", (False, False)),
        ("A red circle and a square.", (False, True)),
        ("A red and blue circle.", (True, False)),
        ("A square. A red circle.", (False, False)),
        ("A RED CIRCLE", (True, True)),
        ("Encircled in reddish tones", (False, False)),
        ("", (False, False)),
    ],
)
def test_a_caption_is_right_when_it_names_the_shape_and_colour_and_no_other(caption, expected):
    assert names_shape_and_colour(caption, RED_CIRCLE) == expected


def test_a_scene_of_several_things_has_no_single_answer():
    scene = next(scene for scene in map(random_scene, [random.Random(1)] * 50) if not scene.is_single)
    with pytest.raises(ValueError, match="single thing"):
        names_shape_and_colour("A red circle.", scene)


def test_held_back_pictures_are_single_plain_shapes_in_equal_parts():
    scenes = [scene for _, scene in held_back(128, seed=1)]
    assert all(scene.is_single and scene.groups[0].shape in SHAPES for scene in scenes)
    assert set(Counter(scene.key for scene in scenes).values()) == {2}


def test_held_back_pictures_depend_on_the_seed_only():
    first, again, other = (
        [image.tobytes() for image, _ in held_back(5, seed=seed)] for seed in (1, 1, 2)
    )  # fmt: skip
    assert first == again
    assert first != other


def test_no_picture_is_held_back_when_none_is_asked_for():
    assert held_back(0, seed=1) == []


@pytest.mark.parametrize("extension", FORMATS)
def test_a_file_decodes_to_its_own_format(extension):
    image = Image.open(io.BytesIO(encode(Image.new("RGB", (96, 96), "red"), extension)))
    assert image.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF"}[extension]


def test_every_format_and_size_occurs():
    rng = random.Random(1)
    files = [random_file(random_scene(rng), rng) for _ in range(200)]
    assert {extension for extension, _ in files} == set(FORMATS)
    assert {Image.open(io.BytesIO(body)).width for _, body in files} == {96, 112, 128, 144, 160, 256}
