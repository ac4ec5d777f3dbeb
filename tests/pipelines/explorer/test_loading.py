"""What is read in the background, and compared once, gives the counts of `infimm what-if`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from filters.exact_duplicate_image import ExactDuplicateImage
from filters.image_duplicate import ImageDuplicate
from infimm_data.errors import ConfigError
from pipelines.explorer.api import Api
from pipelines.explorer.compared import ComparedImages, pairs_of
from pipelines.explorer.loading import READY, Loading, joined
from pipelines.explorer.thresholds import Thresholds, slider_measures, sliders_in
from pipelines.item_tables import load_facts
from pipelines.layout import Layout
from pipelines.passes.group import group_images
from pipelines.stored import stored_items, stored_recipe, whole_facts
from pipelines.what_if import WhatIf, what_if
from tests.pipelines.made_facts import make_facts


@pytest.fixture(scope="module")
def layout(first):
    return Layout(str(first))


@pytest.fixture
def loading(layout):
    found = Loading(layout)
    found.study()
    while found.progress["stage"] != READY:
        pass
    return found


def moves(recipe):
    """Return moves of every slider with a number: off, looser and tighter."""
    found = []
    for slider in sliders_in(recipe):
        value = slider.value
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            continue
        tried = [None, 0, 1, 2, 47] if value is None else [None, value + 1, value * 2, value / 2]
        found += [
            f"{slider.step}.{slider.key}={json.dumps(int(one) if slider.is_whole and one else one)}" for one in tried
        ]
    return found


def counts(decisions):
    kept = int(decisions.documents.kept.sum()), int(decisions.images.kept.sum())
    return kept, [(line.step, line.reason, line.came_in, line.dropped) for line in decisions.funnel]


def test_every_slider_counts_what_deciding_anew_counts_before_and_after_pictures_are_compared(loading, layout):
    recipe = stored_recipe(layout)
    facts = whole_facts(layout, recipe)
    fresh = Thresholds(layout, recipe, facts, ComparedImages())
    tried = 0
    for change in moves(recipe):
        try:
            expected = WhatIf(facts, recipe.steps).ask([change])
        except ConfigError:
            with pytest.raises(ConfigError):
                loading.thresholds().decisions([change])
            continue
        tried += 1
        for thresholds in (loading.thresholds(), fresh):
            assert counts(thresholds.decisions([change])) == counts(expected.then), change
        assert loading.thresholds().recount([change])["unmeasured"] == expected.num_unmeasured
    assert tried > 8


@pytest.mark.parametrize(
    "change", ["text_length.min_words=30", "brightness.min_brightness=0.5", "image_size.min_side=30"]
)
def test_a_slider_counts_what_the_command_counts(change, loading, layout):
    assert counts(loading.thresholds().decisions([change])) == counts(what_if(layout, [change]).then)


def test_work_items_read_one_by_one_are_the_facts_of_all(layout):
    recipe = stored_recipe(layout)
    items = [item.key for item in stored_items(layout)]
    assert len(items) > 1
    for measures in (None, slider_measures(recipe)):
        whole = load_facts(layout, items, recipe, measures)
        parts = joined([load_facts(layout, [item], recipe, measures) for item in items])
        assert parts.documents.equals(whole.documents)
        assert parts.images.equals(whole.images)
        for name in ("document_item", "document_row", "image_item", "image_document", "dates"):
            assert np.array_equal(getattr(parts, name), getattr(whole, name)), name
        assert parts.items == whole.items


def made_images(seed, size=300):
    """Return facts of images with few hashes, some near others, some without."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 1 << 63, 12, dtype=np.uint64)
    near = base[rng.integers(0, 12, size)] ^ (np.uint64(1) << rng.integers(0, 5, size).astype(np.uint64))
    hashes = [None if rng.random() < 0.1 else int(one) for one in near]
    owners = np.sort(rng.integers(0, 40, size))
    digests = [None if one is None else f"{one:016x}" for one in hashes]
    return make_facts({"id": [str(n) for n in range(40)]}, {"phash": hashes, "sha256": digests}, owners)


@pytest.mark.parametrize("filter_", [ImageDuplicate(distance=1), ImageDuplicate(distance=2), ExactDuplicateImage()])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_pairs_found_once_group_any_of_the_images_as_comparing_them_does(filter_, share):
    facts = made_images(seed=1)
    fetched = facts.images.column("phash").is_valid().to_numpy()
    live = fetched & (np.random.default_rng(2).random(len(fetched)) < share)
    rows = np.flatnonzero(live)
    found = filter_.counted(pairs_of(filter_, facts).groups(rows), facts.image_document[rows])
    expected = group_images(filter_, facts, live)
    assert np.array_equal(expected.rows, rows)
    for name, values in expected.columns.items():
        assert np.array_equal(found[name], values), name


def test_reading_says_how_far_it_is_and_ends(loading, layout):
    assert loading.progress == {"stage": "", "done": 0, "of": 0}
    api = Api(layout, None)
    first = json.loads(api.answer("api/progress", {}).data)
    assert set(first) == {"stage", "done", "of"}
    assert json.loads(api.answer("api/build", {}).data)["documents"] == 24


def test_what_ends_the_reading_reaches_whoever_waits(layout, tmp_path):
    out = shutil.copytree(layout.out, tmp_path / "out")
    next((out / "scores" / "documents").glob("*.parquet")).write_bytes(b"PAR1 cut")
    loading = Loading(Layout(str(out)))
    for part in (loading.thresholds, loading.study):
        with pytest.raises(pa.ArrowInvalid):
            part()
    assert loading.progress["stage"] == READY
