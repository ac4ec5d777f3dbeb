"""MINT-1T: the frames of a TIFF become the document's images, pixel by pixel; the build needs no network."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from filters.image_size import ImageSize
from infimm_data.document import Document, ImageNode
from infimm_data.shards import read_index, read_manifest, read_sample
from pipelines.build import build
from pipelines.fetch_settings import FetchSettings
from pipelines.layout import Layout
from pipelines.recipe import OutputSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.contract import Skipped
from pipelines.sources.mint1t import Mint1t

KEYS = [f"{number:032x}" for number in range(4)]


def picture(seed, size=(40, 30), mode="RGB"):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.NEAREST).convert(mode)


def tiff(*pictures, **settings):
    buffer = io.BytesIO()
    pictures[0].save(buffer, "TIFF", save_all=True, append_images=pictures[1:], **settings)
    return buffer.getvalue()


def record(*pages, texts=None, **changes):
    images = [None, *(f"page_{page}_image_{page + 80}" for page in pages), None]
    made = {
        "bff_contained_ngram_count_before_dedupe": 29,
        "image_metadata": [{"height": 30, "page": page, "sha256": "x", "width": 40, "xref": 85} for page in pages],
        "images": images,
        "language_id_whole_page_fasttext": {"en": 0.93},
        "previous_word_count": 120,
        "texts": texts or ["Before.", *([None] * len(pages)), "After."],
        "url": "https://a.example/paper.pdf",
    }
    return made | changes


def write_tar(path, *members):
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a tar and returns its documents, and what `images` gives for all their URLs."""

    def read_tar(*members, **settings):
        source = Mint1t(path=str(write_tar(tmp_path / "shard-0.tar", *members)), **settings)
        (item,) = source.work_items()
        found = list(source.read(item))
        urls = [image.url for one in found if isinstance(one, Document) for image in one.images]
        return found, dict(source.images(item, urls))

    return read_tar


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def same(png, expected):
    opened = Image.open(io.BytesIO(png))
    return opened.format == "PNG" and np.array_equal(np.asarray(opened), np.asarray(expected))


def test_the_kth_image_is_the_kth_frame_and_keeps_every_pixel(read):
    frames = [picture(1), picture(2), picture(3, (50, 60))]
    found, images = read((f"{KEYS[0]}.json", record(0, 0, 4)), (f"{KEYS[0]}.tiff", tiff(*frames)))
    (document,) = found
    assert [isinstance(node, ImageNode) for node in document.nodes] == [False, True, True, True, False]
    assert document.images[2].scores == {"page": 4}
    assert (document.images[0].width, document.images[0].height) == (40, 30)
    assert document.measures == {
        "bff_contained_ngram_count_before_dedupe": 29, "previous_word_count": 120, "language_prob": 0.93,
    }  # fmt: skip
    assert [same(images[node.url], frame) for node, frame in zip(document.images, frames, strict=True)] == [True] * 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_what_png_can_hold_stays_what_it_is(read, mode, compression):
    frame = picture(1, mode="L").convert("I;16") if mode == "I;16" else picture(1, mode=mode)
    _, images = read((f"{KEYS[0]}.json", record(0)), (f"{KEYS[0]}.tiff", tiff(frame, compression=compression)))
    (png,) = images.values()
    opened = Image.open(io.BytesIO(png))
    assert np.array_equal(np.asarray(opened.convert("RGBA")), np.asarray(frame.convert("RGBA")))
    assert (opened.mode, opened.info) == (mode, {}) or mode in ("P", "I;16")


def test_cmyk_becomes_rgb_and_floats_are_no_image(read):
    for mode, expected in (("CMYK", picture(1).convert("CMYK").convert("RGB")), ("F", None)):
        _, images = read((f"{KEYS[0]}.json", record(0)), (f"{KEYS[0]}.tiff", tiff(picture(1, mode=mode))))
        (png,) = images.values()
        assert same(png, expected) if expected else png == b""


def test_an_orientation_is_applied(read):
    turned = tiff(picture(1), tiffinfo={274: 6})
    _, images = read((f"{KEYS[0]}.json", record(0)), (f"{KEYS[0]}.tiff", turned))
    (png,) = images.values()
    assert same(png, picture(1).transpose(Image.Transpose.ROTATE_270))


def members_of(*names):
    return record(images=list(names), texts=["Text."] * len(names), image_metadata=[])


def test_an_entry_that_names_a_member_is_that_file_as_it_came(read):
    jpeg, png = io.BytesIO(), io.BytesIO()
    picture(1).save(jpeg, "JPEG")
    picture(2).save(png, "PNG")
    (document,), images = read(
        ("a%2Fb.1.JPG", jpeg.getvalue()), ("a%2Fb.3.png", png.getvalue()),
        ("a%2Fb.json", members_of(None, "a%2Fb.1.JPG", None, "a%2Fb.3.png", "a%2Fb.4.webp")),
    )  # fmt: skip
    assert [type(node).__name__[:4] for node in document.nodes] == ["Text", "Imag", "Text", "Text", "Imag", "Text",
                                                                    "Imag", "Text"]  # fmt: skip
    assert [images[node.url] for node in document.images] == [jpeg.getvalue(), png.getvalue(), b""]


def test_a_member_that_is_a_tiff_becomes_a_png(read):
    (document,), images = read(("k.json", members_of("k.0.tiff", "k.1.tif")), ("k.0.tiff", tiff(picture(1))),
                               ("k.1.tif", tiff(picture(2))))  # fmt: skip
    assert [same(images[node.url], picture(n)) for n, node in enumerate(document.images, start=1)] == [True, True]


def test_frames_that_are_missing_or_broken_are_no_image_and_cost_no_other(read):
    whole = tiff(picture(1), picture(2))
    found, images = read(
        (f"{KEYS[0]}.json", record(0, 1, 2)), (f"{KEYS[0]}.tiff", whole),
        (f"{KEYS[1]}.json", record(0)),
        (f"{KEYS[2]}.json", record(0)), (f"{KEYS[2]}.tiff", b"no tiff"),
        (f"{KEYS[3]}.json", record(0)), (f"{KEYS[3]}.tiff", tiff(picture(5))[:-30]),
    )  # fmt: skip
    assert reasons(found) == ["document"] * 4
    assert [bool(images[image.url]) for image in found[0].images] == [True, True, False]
    assert [images[one.images[0].url] for one in found[1:]] == [b"", b"", b""]


def test_a_frame_of_too_many_pixels_is_not_decoded(read):
    members = (f"{KEYS[0]}.json", record(0, 1)), (f"{KEYS[0]}.tiff", tiff(picture(1), picture(2, (50, 60))))
    found, images = read(*members, max_image_pixels=1200)
    assert [bool(images[image.url]) for image in found[0].images] == [True, False]


def test_frames_and_files_beyond_the_bounds_are_lost_and_counted(read):
    members = (f"{KEYS[0]}.json", record(0, 1, 2)), (f"{KEYS[0]}.tiff", tiff(picture(1), picture(2), picture(3)))
    found, _ = read(*members, max_frames=2)
    assert reasons(found) == ["broken_image", "document"]
    assert found[0].detail == "image 3: frame 2; at most 2 are read of a document"
    found, images = read(*members, max_tiff_bytes=100)
    assert set(images.values()) == {b""}
    assert reasons(read(*members, max_record_bytes=100)[0]) == ["record_too_large"]


def test_broken_records_are_counted_and_their_neighbours_are_read(read):
    found, _ = read(
        ("a.json", b"{"), ("b.json", b"[1]"), ("c.json", {}), ("d.json", record(texts=["one"])),
        ("e.json", record(texts=["", ""])), ("f.json", record(0)), ("notes.txt", b"x"),
    )  # fmt: skip
    assert reasons(found) == ["not_json", "not_json", "broken_record", "lists_differ", "no_content", "document"]


def test_a_table_of_html_documents_has_urls_and_no_frames(tmp_path):
    rows = [
        {"texts": [None, "Text."], "images": ["https://a.example/1.jpg", None], "url": "https://a.example"},
        {"texts": [None, "Text."], "images": ["page_0_image_1", None], "url": "https://b.example"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    source = Mint1t(path=str(tmp_path))
    found = list(source.read(source.work_items()[0]))
    assert reasons(found) == ["document", "broken_image", "document"]
    assert found[0].nodes[0] == ImageNode(url="https://a.example/1.jpg")


HTML_ROW = {  # columns of MINT-1T-HTML's data_v1_1
    "texts": ["Before.", None, None, "After."],
    "images": [None, "https://a.example/1.jpg", "https://a.example/2.jpg", None],
    "image_hashes": ["a" * 64, "b" * 64],
    "images_metadata": [{"height": 480, "width": 640}, {"height": 30, "width": 40}],
    "metadata": [{"x": 1}, {"x": 2}],
    "url": "https://a.example/page", "cc_dump": "CC-MAIN-2017-04",
}  # fmt: skip


def html(tmp_path, **changes):
    pq.write_table(pa.Table.from_pylist([HTML_ROW | changes]), tmp_path / "a.parquet")
    source = Mint1t(path=str(tmp_path))
    return source, list(source.read(source.work_items()[0]))


def test_what_a_table_says_of_images_is_of_those_that_are_shown(tmp_path):
    for told in (HTML_ROW["images_metadata"], [json.dumps(one) for one in HTML_ROW["images_metadata"]]):
        source, (document,) = html(tmp_path, images_metadata=told)
        assert [(node.url[-5], node.width, node.height) for node in document.images] == [("1", 640, 480), ("2", 40, 30)]
        assert [node.scores for node in document.images] == [{}, {}]
        assert document.origin.url == "https://a.example/page"
        assert source.preview(source.work_items()).columns == tuple(HTML_ROW)


def test_what_a_table_says_of_another_number_of_images_is_not_taken(tmp_path):
    _, (document,) = html(tmp_path, images_metadata=[{"height": 480, "width": 640}])
    assert [node.width for node in document.images] == [None, None]


def test_a_build_takes_the_pictures_from_the_tar_and_two_builds_are_equal(cluster, tmp_path):
    for number in range(2):
        frames = [picture(10 * number + n, (40 + n, 30)) for n in range(3)]
        write_tar(
            tmp_path / f"shard-{number}.tar",
            (f"{KEYS[0]}.json", record(0, 1, 2)), (f"{KEYS[0]}.tiff", tiff(*frames)),
            (f"{KEYS[1]}.json", record(0, url=f"https://a.example/{number}")),
            (f"{KEYS[1]}.tiff", tiff(frames[0])[:99]),
        )  # fmt: skip
    shards = []
    for out in ("one", "two"):
        steps = (Step("image_size", ImageSize(min_side=8)),)
        source = Mint1t(path=str(tmp_path / "shard-*.tar"))
        recipe = Recipe("mint.yaml", "mint1t", source, steps, FetchSettings(), OutputSettings(documents_per_shard=9))
        run = Run(recipe, Layout(str(tmp_path / out)), cluster)
        build(run)
        shards.append([shard.sha256 for shard in run.shards])
    assert shards[0] == shards[1]
    folder = run.layout.shards
    samples = [read_sample(folder, place) for shard in read_manifest(folder) for place in read_index(folder, shard)]
    assert [len(sample.document.images) for sample in samples] == [3, 0, 3, 0]
    assert same(samples[2].files["1.png"], picture(11, (41, 30)))
    funnel = json.loads((tmp_path / "two" / "report" / "funnel.json").read_text())
    assert funnel["fetched"] == {"not_an_image": 2, "ok": 6}
