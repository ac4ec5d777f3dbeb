"""A kept document becomes a sample: dropped images are gone, the text around them is whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infimm_data.document import Document, ImageNode, Origin, TextNode
from pipelines.passes.decide import decide
from pipelines.passes.pack import KeptDocument, KeptImage, make_sample, shard_plans
from tests.pipelines.made_facts import make_facts


def image(node, **changes):
    fields = {"node": node, "offset": 0, "size_bytes": 1, "sha256": "s", "format": "jpeg", "width": 3, "height": 4}
    return KeptImage(**{**fields, "scores": {"clip": 0.5}, **changes})


def sample_of(nodes, *kept, measures=None):
    document = Document(id="a", nodes=tuple(nodes), origin=Origin(url="u"))
    return make_sample(
        KeptDocument("item", 0, "a", tuple(kept), measures or {}), document, [b"%d" % k.node for k in kept]
    )


def test_a_kept_image_names_its_file_and_carries_its_facts():
    made = sample_of([TextNode(text="t"), ImageNode(url="u", alt="a", width=99)], image(1))
    assert made.document.nodes[1] == ImageNode(
        url="u", alt="a", width=3, height=4, file="0.jpg", sha256="s", scores={"clip": 0.5}
    )
    assert made.files == {"0.jpg": b"1"}


def test_files_are_numbered_without_gaps_in_reading_order():
    nodes = [ImageNode(url=str(n)) for n in range(4)]
    made = sample_of(nodes, image(0, format="png"), image(3, format="webp"))
    assert list(made.files.items()) == [("0.png", b"0"), ("1.webp", b"3")]
    assert [node.url for node in made.document.images] == ["0", "3"]


def test_the_texts_around_a_dropped_image_are_joined_by_a_blank_line():
    made = sample_of([TextNode(text="a"), ImageNode(url="x"), TextNode(text="b"), ImageNode(url="y")])
    assert made.document.nodes == (TextNode(text="a\n\nb"),)


def test_texts_of_different_roles_are_not_joined():
    nodes = [TextNode(text="a", role="user", loss=False), ImageNode(url="x"), TextNode(text="b", role="assistant")]
    assert sample_of(nodes).document.nodes == (nodes[0], nodes[2])


def test_an_inline_image_does_not_carry_its_bytes_twice():
    made = sample_of([ImageNode(url="data:image/png;base64,AAAA")], image(0))
    assert made.document.images[0].url == "data:image/png;base64"


def test_measures_travel_with_the_sample():
    assert sample_of([], measures={"words": 3.0}).document.measures == {"words": 3.0}


AS_IT_CAME = {
    "original_sha256": "y", "original_format": "webp", "original_width": 7, "original_height": 5,
    "original_size_bytes": 9,
}  # fmt: skip

FACTS = make_facts(
    {"id": ["a", "b", "c", "d", "e"], "words": [1.0, math.nan, 3.0, 4.0, 5.0], "language": ["en", None, "de", "", "x"]},
    {
        "clip": [0.1, math.nan, math.inf, None],
        "offset": [0, 1, 2, 3],
        "size_bytes": [1, 1, 1, 9],
        "sha256": ["x", "x", "x", "y"],
        "format": ["png", "png", "png", "webp"],
        "width": [7] * 4,
        "height": [5] * 4,
        "stored_bytes": [1] * 4,
        "stored_sha256": ["x"] * 4,
        "stored_format": ["png"] * 4,
        "stored_width": [3] * 4,
        "stored_height": [2] * 4,
        "short_side": [1] * 4,
    },
    [0, 1, 1, 4],
    item_of=[0, 0, 0, 1, 1],
)


@pytest.mark.parametrize(("size", "expected"), [(1, ["a", "b", "c", "d", "e"]), (2, ["ab", "cd", "e"]), (9, ["abcde"])])
def test_shards_are_cut_in_dump_order(size, expected):
    plans = list(shard_plans(FACTS, decide(FACTS, []), size))
    assert ["".join(document.id for document in plan) for plan in plans] == expected
    assert [(d.item, d.row) for plan in plans for d in plan] == [
        ("item0", 0), ("item0", 1), ("item0", 2), ("item1", 0), ("item1", 1),
    ]  # fmt: skip
    assert [[one.node for one in d.images] for plan in plans for d in plan] == [[0], [1, 2], [], [], [3]]


def test_what_was_not_measured_is_left_out():
    (plan,) = shard_plans(FACTS, decide(FACTS, []), 9)
    assert [document.measures for document in plan[:2]] == [{"words": 1.0, "language": "en"}, {}]
    assert [one.scores for document in plan for one in document.images] == [{"clip": 0.1}, {}, {}, AS_IT_CAME]


def test_dropped_documents_and_images_are_in_no_shard():
    decisions = decide(FACTS, [])
    decisions.documents.line[1:4] = 0
    decisions.images.line[:3] = 0
    (plan,) = shard_plans(FACTS, decisions, 9)
    assert [(document.id, [one.node for one in document.images]) for document in plan] == [("a", []), ("e", [3])]


def test_a_resized_image_is_packed_as_it_is_stored_and_says_what_it_was():
    (plan,) = shard_plans(FACTS, decide(FACTS, []), 9)
    assert plan[4].images == (
        KeptImage(
            node=3, offset=3, size_bytes=1, sha256="x", format="png", width=3, height=2, scores=AS_IT_CAME, place=None
        ),
    )


def test_nothing_kept_makes_no_shard():
    decisions = decide(FACTS, [])
    decisions.documents.line[:] = 0
    decisions.images.line[:] = 0
    assert list(shard_plans(FACTS, decisions, 9)) == []
    nothing = make_facts({"id": []}, {}, np.zeros(0, dtype=np.int64))
    assert list(shard_plans(nothing, decide(nothing, []), 9)) == []
