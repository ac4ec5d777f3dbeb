"""Groups over the whole set: documents by signature, images by hash."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infimm_data.tables import measures_table, read_table, write_table
from pipelines.layout import Layout
from pipelines.passes.group import group_documents, group_images
from tests.pipelines.made_facts import make_facts


@dataclass(frozen=True)
class Equal:
    """Groups what is equal; an empty signature is alone."""

    def group(self, signatures):
        return self.group_hashes([hash(s) if s else n for n, s in enumerate(signatures)])

    def group_hashes(self, hashes):
        first = {}
        return np.array([first.setdefault(value, n) for n, value in enumerate(hashes)], dtype=np.int64)


def write_signatures(layout, *items):
    for item, signatures in zip("abc", items, strict=False):
        ids = [f"{item}{n}" for n in range(len(signatures))]
        table = measures_table({"id": ids}, [{"near_signature": s} for s in signatures], ["near_signature"])
        write_table(layout.document_scores(item), table, fingerprint="")


def test_documents_are_grouped_across_work_items_under_the_id_of_their_first(tmp_path):
    layout = Layout(str(tmp_path))
    write_signatures(layout, [b"x", b"", b"y"], [], [b"y", b"x", b"", b"z"])
    assert group_documents("near", Equal(), ["a", "b", "c"], layout, "p") == 2
    found = read_table(layout.groups("near"))
    assert found.column("id").to_pylist() == ["a0", "a1", "a2", "c0", "c1", "c2", "c3"]
    assert found.column("near_group").to_pylist() == ["a0", None, "a2", "a2", "a0", None, None]


def test_images_are_counted_by_documents_and_by_repeats_in_each():
    facts = make_facts(
        {"id": ["a", "b", "c"]},
        {"phash": pa.array([7, 8, 7, 7, 9, 7, None], pa.uint64())},
        [0, 0, 0, 1, 1, 2, 2],
    )
    live = np.array([True, True, True, True, True, False, False])
    found = group_images(Equal(), facts, live)
    assert found["image_documents"].tolist()[:5] == [2, 1, 2, 2, 1]
    assert found["image_repeat"].tolist()[:5] == [0, 0, 1, 0, 0]
    assert [math.isnan(value) for value in found["image_documents"][5:]] == [True, True]


def test_hashes_beyond_2_to_the_53_are_not_rounded():
    facts = make_facts({"id": ["a"]}, {"phash": pa.array([2**64 - 1, 2**64 - 2], pa.uint64())}, [0, 0])
    assert group_images(Equal(), facts, np.array([True, True]))["image_repeat"].tolist() == [0, 0]


def test_no_image_at_all_is_counted_as_none():
    facts = make_facts({"id": ["a"]}, {"phash": pa.array([], pa.uint64())}, [])
    found = group_images(Equal(), facts, np.zeros(0, dtype=bool))
    assert found["image_documents"].tolist() == []
