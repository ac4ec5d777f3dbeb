"""OpenFlamingo's shards: pictures in base64 inside the records; the build needs no network."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from filters.image_size import ImageSize
from filters.stored_score import StoredScore
from infimm_data.document import Document, ImageNode
from infimm_data.shards import read_index, read_manifest, read_sample
from pipelines.build import build
from pipelines.fetch_settings import FetchSettings
from pipelines.layout import Layout
from pipelines.recipe import OutputSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.contract import Skipped
from pipelines.sources.openflamingo import OpenFlamingo
from tests.pipelines.sources.test_mint1t import write_tar


def jpeg(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((50, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


def entry(seed, text=None, **changes):
    made = {
        "image_name": f"{seed}.jpg",
        "raw_url": f"http://a.example/{seed}.jpg",
        "matched_text_index": 0,
        "matched_sim": 0.3,
        "image_base64": base64.b64encode(jpeg(seed)).decode() if text is None else text,
    }
    return {key: value for key, value in (made | changes).items() if value is not ...}


def record(*entries, matrix=None, **changes):
    made = {
        "url": "http://a.example/page",
        "text_list": ["First.", "Second.", "Third."],
        "image_info": list(entries),
        "similarity_matrix": matrix or [[0.1, 0.2, 0.3]] * len(entries),
    }
    return made | changes


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a tar and returns its documents, and what `images` gives for all their URLs."""

    def read_tar(*members, **settings):
        members = [(f"{number}.json", one) for number, one in enumerate(members)]
        source = OpenFlamingo(path=str(write_tar(tmp_path / "00000.tar", *members)), **settings)
        (item,) = source.work_items()
        found = list(source.read(item))
        urls = [image.url for one in found if isinstance(one, Document) for image in one.images]
        return found, dict(source.images(item, urls))

    return read_tar


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def test_pictures_come_from_the_record_and_stand_before_the_sentence_assigned_anew(read):
    found, images = read(record(entry(1), entry(2), matrix=[[0.1, 0.2, 0.3], [0.1, 0.4, 0.5]]))
    (document,) = found
    assert [node.url[-5:] if isinstance(node, ImageNode) else node.text for node in document.nodes] == [
        "First.", "1.jpg", "Second.", "2.jpg", "Third.",
    ]  # fmt: skip
    assert [image.scores["matched_sim"] for image in document.images] == [0.2, 0.5]
    assert images == {"http://a.example/1.jpg": jpeg(1), "http://a.example/2.jpg": jpeg(2)}


def test_the_stored_assignment_can_be_kept(read):
    (document,) = read(record(entry(1, matched_text_index=1)), assignment="stored")[0]
    assert [isinstance(node, ImageNode) for node in document.nodes] == [False, True, False]


def test_a_picture_without_a_url_is_named_by_its_place(read):
    found, images = read(record(entry(1, raw_url=...)), record(entry(2, raw_url=None)))
    assert [one.images[0].url for one in found] == ["member:0/0", f"member:{found[1].origin.offset}/0"]
    assert list(images.values()) == [jpeg(1), jpeg(2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""), ("=", b""), ("a", b""), ("%%%%", b""), ("ä" * 9, b""), ("A" * 101, b""), (7, b""), (["AAAA"], b""),
        ("data:image/jpeg;base64," + base64.b64encode(b"xyz").decode(), b"xyz"), ("eH\nl6 ", b"xyz"),
    ],
)  # fmt: skip
def test_absurd_base64_is_no_image_and_costs_no_other(read, text, expected):
    _, images = read(record(entry(1, text), entry(2)))
    assert images == {"http://a.example/1.jpg": expected, "http://a.example/2.jpg": jpeg(2)}


def test_a_picture_that_the_record_does_not_hold_is_left_to_its_url(read):
    found, images = read(record(entry(1, image_base64=...), entry(2, image_base64=None)))
    assert len(found[0].images) == 2
    assert images == {}


def test_broken_members_are_counted_and_their_neighbours_are_read(read):
    good = record(entry(1))
    synthetic = {"is_gpt": True, "example": "a", "image_map": {}}
    found, images = read(good, b"{", b"[]", {"text_list": []}, record(3, entry(2)), synthetic, record(text_list=[]))
    expected = ["document", "not_json", "not_json", "broken_record", "broken_image", "document", "synthetic_record"]
    assert reasons(found) == [*expected, "no_content"]
    assert list(images.values()) == [jpeg(1), jpeg(2)]


def test_a_member_over_the_bound_is_counted(read):
    assert reasons(read(record(entry(1)), max_record_bytes=100)[0]) == ["record_too_large"]


def test_a_build_takes_the_pictures_from_the_records_and_two_builds_are_equal(cluster, tmp_path):
    matrix = [[0.3, 0.1, 0.1], [0.1, 0.1, 0.2], [0.1, 0.5, 0.1]]
    pages = [record(entry(n), entry(n + 10), entry(n + 20, "AAAA"), matrix=matrix, url=str(n)) for n in range(3)]
    write_tar(tmp_path / "00000.tar", *((f"{number}.json", one) for number, one in enumerate(pages)))
    steps = (
        Step("stored_score", StoredScore(at_least={"matched_sim": 0.24})),
        Step("image_size", ImageSize(min_side=8)),
    )
    shards = []
    for out in ("one", "two"):
        source = OpenFlamingo(path=str(tmp_path / "00000.tar"))
        recipe = Recipe(
            "of.yaml", "openflamingo", source, steps, FetchSettings(), OutputSettings(documents_per_shard=2)
        )
        run = Run(recipe, Layout(str(tmp_path / out)), cluster)
        build(run)
        shards.append([shard.sha256 for shard in run.shards])
    assert len(shards[0]) == 2
    assert shards[0] == shards[1]
    folder = run.layout.shards
    samples = [read_sample(folder, place) for shard in read_manifest(folder) for place in read_index(folder, shard)]
    assert [sample.files for sample in samples] == [{"0.jpg": jpeg(n)} for n in range(3)]
    assert [sample.document.images[0].scores["dump_matched_sim"] for sample in samples] == [0.3] * 3
    funnel = json.loads((tmp_path / "two" / "report" / "funnel.json").read_text())
    dropped = {line["reason"]: line["dropped"] for line in funnel["steps"] if line["dropped"]}
    assert dropped == {"dump_matched_sim_low": 3, "not_an_image": 3}
