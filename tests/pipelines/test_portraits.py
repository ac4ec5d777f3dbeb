"""Portrait images survive by default: no named recipe treats tall pictures, or pictures of faces, unlike others.

NeMo Curator's interleaved filter drops every portrait by its defaults (width / height of at least 1), and MMC4's
fewer-faces variant drops faces; neither happens here unless a recipe of one's own says so.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filters.table import FILTERS
from infimm_data.document import ImageNode
from infimm_data.images import inspect_image
from infimm_data.rules import AtLeast, AtMost, MeasuresImageNode
from pipelines.recipe import Step, load_recipe
from tests.filters.test_table import build

RECIPES = sorted((Path(__file__).resolve().parents[2] / "configs/build").glob("*.yaml"))
EVERY = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def facts(width: int, height: int, *, orientation: int = 1) -> dict[str, float]:
    """What the fetch pass stores of a JPEG of that size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=50, exif=exif)
    found = inspect_image(file.getvalue(), max_pixels=1 << 24)
    short, long = sorted((found.width, found.height))
    sizes = {"width": found.width, "height": found.height, "short_side": short, "long_side": long}
    return sizes | {"aspect": long / short, "size_bytes": len(file.getvalue())}


PORTRAIT, LANDSCAPE = facts(450, 900), facts(900, 450)


def drops(steps: tuple[Step, ...], measured: dict[str, float], declared: tuple[int, int]) -> list[str]:
    """Return the reasons for which rules on an image's shape drop it."""
    node = ImageNode(url="https://a.example/photo.jpg", alt="A woman smiling", width=declared[0], height=declared[1])
    reasons = []
    for step in steps:
        known = dict(measured)
        if isinstance(step.filter, MeasuresImageNode):
            known |= {k: v for k, v in step.filter.measure_node(node).items() if isinstance(v, int | float)}
        reasons += [
            rule.reason
            for rule in (step.filter.rules() if step.filter.level == "image" else ())
            if isinstance(rule, AtLeast | AtMost)
            and rule.measure in known
            and not rule.passes(np.array([known[rule.measure]]))[0]
        ]
    return reasons


@EVERY
def test_a_portrait_of_two_to_one_is_kept_and_judged_as_its_landscape(recipe: Path) -> None:
    steps = load_recipe(str(recipe)).steps
    assert drops(steps, PORTRAIT, (450, 900)) == drops(steps, LANDSCAPE, (900, 450)) == []


@EVERY
def test_no_named_recipe_asks_for_faces(recipe: Path) -> None:
    asked = {rule.measure for step in load_recipe(str(recipe)).steps for rule in step.filter.rules()}
    assert not [measure for measure in asked if "face" in measure]
    assert not [step.name for step in load_recipe(str(recipe)).steps if step.name == "image_heads"]


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "image_url_list"])  # want a list
def test_no_filters_defaults_drop_a_portrait(name: str) -> None:
    steps = (Step(name, build(name)),)
    assert drops(steps, PORTRAIT, (450, 900)) == drops(steps, LANDSCAPE, (900, 450)) == []


def test_a_photo_turned_by_its_camera_counts_as_it_is_shown() -> None:
    assert facts(900, 450, orientation=6)["height"] == 900
    assert {k: v for k, v in facts(900, 450, orientation=6).items() if k != "size_bytes"} == {
        k: v for k, v in PORTRAIT.items() if k != "size_bytes"
    }


def test_the_check_sees_a_rule_that_drops_portraits() -> None:
    class WideOnly:
        level = "image"

        def rules(self) -> tuple[AtMost, ...]:
            return (AtMost("height", 800, "image_too_tall"),)

    assert drops((Step("wide", WideOnly()),), PORTRAIT, (450, 900)) == ["image_too_tall"]  # type: ignore[arg-type]
