"""Every filter of the table at once: what holds for one holds for all, the next one included."""

from __future__ import annotations

import atexit
import dataclasses
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filters.table import FILTERS
from infimm_data.benchmarks import write_index
from infimm_data.comparing import ComparesEmbeddings, CountsImageUrls, GroupsDocuments, GroupsImages, LiveImages
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError
from infimm_data.links import group_signatures, signature_bytes
from infimm_data.rules import (
    DUMP_PREFIX,
    AssignsImages,
    AtLeast,
    AtMost,
    EditsDocument,
    FirstOfGroup,
    GroupAtMost,
    MeasuresDocument,
    MeasuresImageNode,
    OneOf,
    ScoresPairs,
)
from infimm_data.vectors import ScoresEmbeddings

EVERY = pytest.mark.parametrize("name", FILTERS)
LIST = str(Path(__file__).parent / "block_list.txt")
FOLDER = tempfile.mkdtemp()
atexit.register(shutil.rmtree, FOLDER)
INDEX = f"{FOLDER}/index.parquet"
write_index(INDEX, [("made", "phash", 0, bytes(8))], {})
NEEDED: dict[str, dict[str, Any]] = {
    "benchmark_text": {"index": INDEX},
    "benchmark_image": {"index": INDEX},
    "url_list": {"block": (LIST,), "words": LIST},
    "image_url_list": {"allow": (LIST,)},
}


def build(name: str, **settings: Any) -> Any:
    """The filter with its defaults, and what it cannot do without."""
    return FILTERS[name](**(NEEDED.get(name, {}) | settings))


EDITS = [name for name in FILTERS if isinstance(build(name), EditsDocument)]
DECIDING = pytest.mark.parametrize("name", [name for name in FILTERS if name not in EDITS])
IMAGE = ImageNode(url="https://example.org/photo.jpg")
DOCUMENTS = {
    "nothing": Document(id="0", nodes=()),
    "an empty text": Document(id="1", nodes=(TextNode(text=""),)),
    "blanks": Document(id="2", nodes=(TextNode(text=" \n\t \n\n "), TextNode(text="\x00"))),
    "images only": Document(id="3", nodes=(IMAGE, IMAGE)),
    "one word": Document(id="4", nodes=(TextNode(text="word"),)),
    "half a surrogate": Document(id="5", nodes=(TextNode(text="broken \ud83d text in a page of some words"),)),
    "a page": Document(id="6", nodes=(TextNode(text="A lighthouse on a rock. " * 9), IMAGE, TextNode(text="End."))),
}
NODES = {
    "no URL": ImageNode(url=""),
    "no URL at all": ImageNode(url="http://[broken"),
    "data": ImageNode(url="data:image/png;base64,logo/icon"),
    "plain": IMAGE,
    "declared": ImageNode(url="HTTPS://example.org/A.JPG", width=10, height=20),
}
# What other passes supply, see the contract in infimm_data.rules and the passes.
SUPPLIED = {
    *("status", "width", "height", "short_side", "aspect", "size_bytes", "format", "sha256", "phash"),
    *("images_kept", "images_lost", "image_url_count", "semantic_similarity"),
    *(f"{name}_group" for name in FILTERS),
}


# What a filter that has no bounds of its own is asked for, so that it states rules.
NAMED_BOUNDS = {
    "stored_score": {
        "at_least": {"similarity": 0.3},
        "at_most": {"similarity": 1.0},
        "one_of": {"NSFW": ("UNLIKELY",)},
        "best": {"similarity": 0.5},
    },
    "image_heads": {"heads": {"nsfw": "file"}, "keep_at_most": {"nsfw": 0.1}, "keep_at_least": {"nsfw": 0.0}},
}
FROM_DUMP = {f"{DUMP_PREFIX}{name}" for name in ("similarity", "NSFW")}


def bound_fields(name: str) -> list[str]:
    return [f.name for f in dataclasses.fields(FILTERS[name]) if f.name.startswith(("min_", "max_"))]


def with_only(name: str, field: str, value: float | None) -> Any:
    """The filter with one bound set and all others off."""
    return build(name, **{**dict.fromkeys(bound_fields(name)), field: value})


def live_images(size: int) -> LiveImages:
    return LiveImages(
        phash=np.arange(size, dtype=np.uint64),
        sha256=np.array([f"{n:064x}" for n in range(size)], dtype=object),
        document=np.zeros(size, dtype=np.int64),
    )


def measured_keys(filter_: Any) -> set[str]:
    keys: set[str] = set()
    if isinstance(filter_, MeasuresDocument):
        keys |= set(filter_.measure(DOCUMENTS["a page"]))
    if isinstance(filter_, MeasuresImageNode):
        keys |= set(filter_.measure_node(IMAGE))
    if isinstance(filter_, GroupsImages):
        keys |= set(filter_.compare(live_images(1)))
    if isinstance(filter_, AssignsImages):
        keys |= {"sentence_score", "assigned_sentence", "assigned_score", "assigned_beside"}
    elif isinstance(filter_, ScoresEmbeddings):
        keys |= {f"head_{name}" for name in filter_.heads}
    elif isinstance(filter_, ScoresPairs):
        keys |= {"clip_score", "clip_best_text"}
    return keys


@EVERY
def test_its_defaults_construct_and_survive_the_way_to_a_worker(name: str) -> None:
    made = build(name)
    assert pickle.loads(pickle.dumps(made)) == made
    assert made.level in ("document", "image")


@EVERY
def test_it_is_frozen_and_takes_keywords_only(name: str) -> None:
    made = build(name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.level = "image"
    with pytest.raises(TypeError):
        FILTERS[name](1)


@DECIDING
def test_its_reasons_are_unique_slugs(name: str) -> None:
    settings = dict.fromkeys(bound_fields(name), 1) | NAMED_BOUNDS.get(name, {})
    reasons = [rule.reason for rule in build(name, **settings).rules()]
    assert reasons
    assert len(set(reasons)) == len(reasons)
    assert all(reason and reason.replace("_", "").isalnum() and reason == reason.lower() for reason in reasons)


def test_no_two_filters_share_a_reason_or_a_measure() -> None:
    reasons = [rule.reason for name in FILTERS for rule in build(name, **dict.fromkeys(bound_fields(name), 1)).rules()]
    measures = [key for name in FILTERS for key in measured_keys(build(name))]
    assert len(set(reasons)) == len(reasons)
    assert len(set(measures)) == len(measures)
    assert not SUPPLIED & set(measures)
    assert not [key for key in measures if key.startswith(DUMP_PREFIX)]


@EVERY
def test_its_rules_read_only_what_is_measured_or_supplied(name: str) -> None:
    made = build(name, **dict.fromkeys(bound_fields(name), 1), **NAMED_BOUNDS.get(name, {}))
    assert {rule.measure for rule in made.rules()} <= measured_keys(made) | SUPPLIED | FROM_DUMP


@DECIDING
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_it_measures_the_same_keys_of_every_document(name: str, kind: str) -> None:
    made = build(name)
    if not isinstance(made, MeasuresDocument):
        compares = isinstance(made, GroupsDocuments | GroupsImages | CountsImageUrls | ComparesEmbeddings)
        reads = compares or isinstance(made, MeasuresImageNode | ScoresPairs)
        assert reads or build(name, **NAMED_BOUNDS.get(name, {})).rules()
        return
    measured = made.measure(DOCUMENTS[kind])
    assert set(measured) == measured_keys(made)
    for value in measured.values():
        assert value is None or isinstance(value, str) or np.isfinite(value)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_an_edit_keeps_every_image_and_counts_by_slug(name: str, kind: str) -> None:
    made, document = build(name), DOCUMENTS[kind]
    edited, counts = made.edit(document)
    assert edited.images == document.images
    assert (edited.id, edited.origin) == (document.id, document.origin)
    assert all(reason.replace("_", "").isalnum() and number > 0 for reason, number in counts.items())
    assert made.rules() == ()
    assert made.edit(edited) == (edited, {}), "what was edited is left alone"


@EVERY
@pytest.mark.parametrize("kind", NODES)
def test_it_measures_the_same_keys_of_every_image_node(name: str, kind: str) -> None:
    made = build(name)
    if isinstance(made, MeasuresImageNode):
        assert set(made.measure_node(NODES[kind])) == measured_keys(made)


@EVERY
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_it_signs_every_document(name: str, kind: str) -> None:
    made = build(name)
    if isinstance(made, GroupsDocuments):
        signature = made.signature(DOCUMENTS[kind])
        assert isinstance(signature, bytes)
        assert len(signature) in (0, signature_bytes(made))
        assert group_signatures(made, [signature, b"", signature]).tolist() == ([0, 1, 0] if signature else [0, 1, 2])


@EVERY
def test_it_groups_nothing_into_nothing(name: str) -> None:
    made = build(name)
    if isinstance(made, GroupsDocuments):
        assert group_signatures(made, []).tolist() == []
    if isinstance(made, GroupsImages):
        assert [values.tolist() for values in made.compare(live_images(0)).values()] == [[]] * len(measured_keys(made))


@DECIDING
def test_a_value_at_the_bound_passes_and_one_beyond_does_not(name: str) -> None:
    for field in bound_fields(name):
        asked = [rule for rule in with_only(name, field, 1).rules() if isinstance(rule, AtLeast | AtMost | GroupAtMost)]
        assert asked, f"{field}=1 adds no rule"
        for rule in asked:
            passing = [False, True, True] if field.startswith("min_") else [True, True, False]
            assert rule.passes(np.array([0.999, 1.0, 1.001])).tolist() == passing


@DECIDING
def test_zero_is_a_bound_and_none_is_off(name: str) -> None:
    for field in bound_fields(name):
        off = with_only(name, field, None).rules()
        added = [rule for rule in with_only(name, field, 0).rules() if rule not in off]
        assert added, f"{field}=0 adds no rule"
        assert all(rule.bound == 0 for rule in added)


@EVERY
def test_bounds_that_cross_or_are_no_number_are_a_config_error(name: str) -> None:
    for field in bound_fields(name):
        with pytest.raises(ConfigError, match=f"{field} is not a number"):
            build(name, **{field: float("nan")})
        high = field.replace("min_", "max_")
        if field.startswith("min_") and high in bound_fields(name):
            with pytest.raises(ConfigError, match=f"{field} is 2, above {high} 1"):
                build(name, **{field: 2, high: 1})


@EVERY
def test_what_was_not_measured_passes_no_rule_but_an_optional_one(name: str) -> None:
    for rule in build(name, **dict.fromkeys(bound_fields(name), 1)).rules():
        if isinstance(rule, AtLeast | AtMost):
            assert rule.passes(np.array([np.nan])).tolist() == [getattr(rule, "or_unknown", False)]
        if isinstance(rule, OneOf):
            assert rule.passes(np.array([None], dtype=object)).tolist() == [rule.or_unknown]
        if isinstance(rule, FirstOfGroup):
            assert rule.bound is None


def test_every_name_is_the_name_of_its_file() -> None:
    for name, cls in FILTERS.items():
        assert cls.__module__ == f"filters.{name}"
        assert cls.__name__ == "".join(part.title() for part in name.split("_"))
