"""Groups over the whole set: documents by signature, images by hash."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from filters.duplicate_pair import DuplicatePair
from filters.exact_duplicate_text import ExactDuplicateText
from filters.image_url_frequency import ImageUrlFrequency
from filters.near_duplicate_text import NearDuplicateText
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import read_bytes
from infimm_data.groups import group_counts
from infimm_data.links import digest
from infimm_data.tables import measures_table, read_table, write_table
from pipelines.passes.decide import decide
from pipelines.passes.group import add_document_groups, dedup_texts, gather, group_images, write_indices
from pipelines.recipe import Step
from tests.pipelines.here import Here, item, make_run
from tests.pipelines.made_facts import make_facts


@dataclass(frozen=True)
class Equal:
    """Groups what is equal."""

    compares = ("phash",)

    def compare(self, images):
        first = {}
        groups = np.array([first.setdefault(value, n) for n, value in enumerate(images.phash)], dtype=np.int64)
        return dict(zip(("image_documents", "image_repeat"), group_counts(groups, images.document), strict=True))


def write_signatures(layout, *items, name="same"):
    for number, signatures in enumerate(items):
        rows = [{f"{name}_signature": s and digest(s)} for s in signatures]
        table = measures_table({"id": [f"{number}{n}" for n in range(len(signatures))]}, rows, [f"{name}_signature"])
        write_table(layout.document_scores(item(number).key), table, fingerprint="")


def same_texts(out, *items, **dedup):
    run = make_run(out, {"same": ExactDuplicateText()}, range(len(items)), **dedup)
    write_signatures(run.layout, *items)
    dedup_texts(run)
    return run


def test_documents_are_grouped_across_work_items_under_the_place_of_their_first(tmp_path):
    run = same_texts(tmp_path, ["x", b"", "y"], [], ["y", "x", b"", "z"])
    found = read_table(run.layout.groups("same"))
    first, last = run.keys[0], run.keys[2]
    assert found.column("item").to_pylist() == [first] * 3 + [last] * 4
    assert found.column("id").to_pylist() == ["00", "01", "02", "20", "21", "22", "23"]
    assert found.column("same_group").to_pylist() == [
        f"{first}/0",
        None,
        f"{first}/2",
        f"{first}/2",
        f"{first}/0",
        None,
        None,
    ]


def test_nothing_of_the_shuffle_is_left_and_a_second_run_compares_nothing(tmp_path):
    run = same_texts(tmp_path, ["x", "x"])
    assert sorted(path.name for path in (tmp_path / "groups").iterdir()) == ["same.parquet"]
    assert run.cluster.names[0] == "same: keys"
    run.cluster.names.clear()
    dedup_texts(run)
    assert run.cluster.names == []


@pytest.mark.parametrize("memory", [1_000_000, "2GB"])
@pytest.mark.parametrize("num_cpus", [1, 7])
def test_the_groups_are_the_same_bytes_however_the_work_is_cut(tmp_path, memory, num_cpus):
    texts = [str(n % 700) for n in range(2000)]
    plain = same_texts(tmp_path / "plain", texts[:900], texts[900:])
    run = same_texts(tmp_path / "cut", texts[:900], texts[900:], memory=memory, cluster=Here(num_cpus))
    assert read_bytes(run.layout.groups("same")) == read_bytes(plain.layout.groups("same"))


def test_a_stage_that_fails_says_which_and_why(tmp_path):
    run = make_run(tmp_path, {"same": ExactDuplicateText()})
    write_table(
        run.layout.document_scores(run.keys[0]),
        measures_table({"id": ["a"]}, [{"same_signature": b"short"}]),
        fingerprint="",
    )
    with pytest.raises(InfiMMError, match=r"dedup: same keys 0: .*a same_signature is not 16 bytes long"):
        dedup_texts(run)


def decided(run, kept):
    """Facts and decisions in which these documents are kept, one after the other over all work items."""
    ids = [key for item in run.keys for key in read_table(run.layout.document_scores(item)).column("id").to_pylist()]
    sizes = [read_table(run.layout.document_scores(item)).num_rows for item in run.keys]
    facts = replace(make_facts({"id": ids}, {}, [], np.repeat(range(len(sizes)), sizes)), items=tuple(run.keys))
    decisions = decide(facts, [])
    decisions.documents.line[~np.asarray(kept)] = 0
    return facts, decisions


def test_what_an_earlier_dataset_keeps_is_not_taken_again(tmp_path):
    old = same_texts(tmp_path / "old", ["x", "y"], [b"", "w"])
    write_indices(old, *decided(old, [True, False, True, True]))
    new = same_texts(tmp_path / "new", ["z", "x", "w", "z", "y", "x"], against=old.layout.out)
    found = read_table(new.layout.groups("same"))
    assert found.column("same_group").to_pylist() == [f"{new.keys[0]}/0", None, None, f"{new.keys[0]}/0", None, None]
    assert found.column("same_group_earlier").to_pylist() == [None, "00", "11", None, None, "00"]


def test_an_index_holds_what_its_own_earlier_dataset_held(tmp_path):
    first = same_texts(tmp_path / "first", ["x"])
    write_indices(first, *decided(first, [True]))
    second = same_texts(tmp_path / "second", ["y"], against=first.layout.out)
    write_indices(second, *decided(second, [True]))
    third = same_texts(tmp_path / "third", ["y", "x", "z"], against=second.layout.out)
    assert read_table(third.layout.groups("same")).column("same_group_earlier").is_valid().to_pylist() == [
        True,
        True,
        False,
    ]


def test_pairs_of_image_and_text_are_compared_with_an_earlier_dataset(tmp_path):
    def pairs(out, *urls, **dedup):
        run = make_run(out, {"duplicate_pair": DuplicatePair()}, **dedup)
        documents = [Document(id=f"0{n}", nodes=(ImageNode(url=url), TextNode(text="a"))) for n, url in enumerate(urls)]
        rows = [{"duplicate_pair_signature": DuplicatePair().signature(one)} for one in documents]
        table = measures_table({"id": [one.id for one in documents]}, rows)
        write_table(run.layout.document_scores(run.keys[0]), table, fingerprint="")
        keys = {"id": [], "node": [], "url": []}
        write_table(run.layout.image_scores(run.keys[0]), measures_table(keys, [], ["status"]), fingerprint="")
        dedup_texts(run)
        return run

    old = pairs(tmp_path / "old", "u", "v")
    write_indices(old, *decided(old, [True, False]))
    new = pairs(tmp_path / "new", "v", "u", "v", against=old.layout.out)
    facts = gather(new)
    (step,) = new.recipe.steps
    found = decide(facts, [step])
    assert found.documents.reason.tolist() == ["", "duplicate_pair_of_earlier", "duplicate_pair"]


def test_groups_are_found_again_when_the_earlier_dataset_changes(tmp_path):
    old = same_texts(tmp_path / "old", ["x", "y"])
    write_indices(old, *decided(old, [True, False]))
    new = same_texts(tmp_path / "new", ["x", "y"], against=old.layout.out)
    write_indices(old, *decided(old, [False, True]))
    dedup_texts(new)
    found = read_table(new.layout.groups("same"))
    assert found.column("same_group_earlier").to_pylist() == [None, "01"]


def test_an_earlier_dataset_without_an_index_or_with_other_settings_is_named(tmp_path):
    run = make_run(tmp_path / "new", {"near": NearDuplicateText()}, against=str(tmp_path / "old"))
    with pytest.raises(ConfigError, match=r"dedup.against: .*old: no index of 'near' there; expected a folder"):
        dedup_texts(run)
    own = make_run(tmp_path / "new", {"near": NearDuplicateText()}, against=str(tmp_path / "new"))
    with pytest.raises(ConfigError, match="that is where this build goes; name an earlier one"):
        dedup_texts(own)
    old = make_run(tmp_path / "old", {"near": NearDuplicateText(ngram=7)})
    write_signatures(old.layout, [b""], name="near")
    write_indices(old, *decided(old, [True]))
    with pytest.raises(ConfigError, match=r"made with .*'ngram': 7.*asks for .*'ngram': 5"):
        dedup_texts(run)


def test_images_are_counted_by_documents_and_by_repeats_in_each():
    facts = make_facts(
        {"id": ["a", "b", "c"]},
        {"phash": pa.array([7, 8, 7, 7, 9, 7, None], pa.uint64())},
        [0, 0, 0, 1, 1, 2, 2],
    )
    live = np.array([True, True, True, True, True, False, False])
    found = facts.with_found(group_images(Equal(), facts, live)).images.to_pydict()
    assert found["image_documents"][:5] == [2, 1, 2, 2, 1]
    assert found["image_repeat"][:5] == [0, 0, 1, 0, 0]
    assert [math.isnan(value) for value in found["image_documents"][5:]] == [True, True]


def test_hashes_beyond_2_to_the_53_are_not_rounded():
    facts = make_facts({"id": ["a"]}, {"phash": pa.array([2**64 - 1, 2**64 - 2], pa.uint64())}, [0, 0])
    assert group_images(Equal(), facts, np.array([True, True])).columns["image_repeat"].tolist() == [0, 0]


def test_no_image_at_all_is_counted_as_none():
    facts = make_facts({"id": ["a"]}, {"phash": pa.array([], pa.uint64())}, [])
    found = group_images(Equal(), facts, np.zeros(0, dtype=bool))
    assert found.columns["image_documents"].tolist() == []


def test_image_urls_are_counted_over_the_whole_set_as_one_page_is_written_in_many_ways(tmp_path):
    run = make_run(tmp_path, {"image_url_frequency": ImageUrlFrequency()}, (0, 1, 2))
    urls = [["http://a.example/x.png", "", "https://a.example/y.png"], [], ["https://A.example/x.png?utm_source=z", ""]]
    for number, here in enumerate(urls):
        keys = {"id": ["d"] * len(here), "node": list(range(len(here))), "url": here}
        write_table(run.layout.image_scores(item(number).key), measures_table(keys, [{}] * len(here)), fingerprint="")
    dedup_texts(run)
    found = read_table(run.layout.groups("image_url_frequency"))
    assert found.column("image_url_count").to_pylist() == [2, 1, 1, 2, 1]
    assert found.column("item").to_pylist() == [run.keys[0]] * 3 + [run.keys[2]] * 2
    facts = make_facts({"id": ["d", "e"]}, {}, [0, 0, 0, 1, 1])
    counted = add_document_groups(facts, run.recipe.steps, run.layout, run.keys)
    assert decide(counted, run.recipe.steps).images.kept.all()
    one = [Step("image_url_frequency", ImageUrlFrequency(max_count=1))]
    assert decide(counted, one).images.reason.tolist() == [
        "image_url_too_frequent",
        "",
        "",
        "image_url_too_frequent",
        "",
    ]
