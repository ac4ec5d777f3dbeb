"""Tables of URLs and captions, in the shapes in which the sets were published, whole and damaged."""

from __future__ import annotations

import gzip
import json
import math
import tracemalloc
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError, SourceError
from pipelines.annotations.caption_sets import SETS
from pipelines.sources.contract import Skipped
from pipelines.sources.image_captions import ImageCaptions

DATA = Path(__file__).resolve().parents[3] / "../shared/data/urls_img2dataset"


def everything(path, **settings):
    source = ImageCaptions(path=str(path), **settings)
    return [found for item in source.work_items() for found in source.read(item)]


def documents(path, **settings):
    return [found for found in everything(path, **settings) if isinstance(found, Document)]


def reasons(path, **settings):
    return Counter(found.reason for found in everything(path, **settings) if isinstance(found, Skipped))


def urls(path, **settings):
    return [document.origin.url for document in documents(path, **settings)]


def write_parquet(path, rows, types=None, row_group_size=None):
    table = pa.Table.from_pylist(rows)
    for name, kind in (types or {}).items():
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind))
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def laion(number, **more):
    """A row of LAION-2B-en."""
    row = {
        "SAMPLE_ID": number, "URL": f"https://a.example/{number}.jpg", "TEXT": f"caption {number}", "HEIGHT": 480,
        "WIDTH": 640, "LICENSE": "?", "NSFW": "UNLIKELY", "similarity": 0.31, "punsafe": 0.01, "pwatermark": 0.2,
    }  # fmt: skip
    return row | more


def test_a_row_of_laion_becomes_an_image_with_its_caption_and_its_measures(tmp_path):
    write_parquet(tmp_path / "part-0.parquet", [laion(7, LICENSE="cc-by")])
    (document,) = documents(tmp_path, preset="laion_2b_en")
    scores = {"similarity": 0.31, "punsafe": 0.01, "pwatermark": 0.2, "NSFW": "UNLIKELY"}
    url = "https://a.example/7.jpg"
    image = ImageNode(url=url, caption="caption 7", width=640, height=480, scores=scores)
    assert document.nodes == (image, TextNode(text="caption 7"))
    origin = document.origin
    assert (origin.dump, origin.offset, origin.url, origin.licence) == ("part-0.parquet", 0, url, "cc-by")


def test_an_unknown_licence_is_none(tmp_path):
    write_parquet(tmp_path / "a.parquet", [laion(1)])
    assert documents(tmp_path, preset="laion_400m")[0].origin.licence == ""


def test_a_column_that_changes_its_type_between_parts_means_the_same(tmp_path):
    write_parquet(tmp_path / "a.parquet", [laion(1)], {"WIDTH": pa.int32(), "SAMPLE_ID": pa.int64()})
    write_parquet(tmp_path / "b.parquet", [laion(2, HEIGHT=None)], {"WIDTH": pa.float64(), "punsafe": pa.float32()})
    write_parquet(tmp_path / "c.parquet", [laion(3)], {"WIDTH": pa.string(), "TEXT": pa.large_binary()})
    decimal = {"WIDTH": Decimal(640), "HEIGHT": None, "similarity": Decimal("0.25")}
    write_parquet(tmp_path / "d.parquet", [laion(4, **decimal)], {"HEIGHT": pa.null()})
    found = [document.images[0] for document in documents(tmp_path, preset="laion_2b_en")]
    assert [(image.width, image.height) for image in found] == [(640, 480), (640, None), (640, 480), (640, None)]
    assert [image.caption for image in found] == [f"caption {n}" for n in range(1, 5)]
    assert found[3].scores["similarity"] == 0.25


def test_what_cannot_be_a_pair_is_counted_by_reason_and_costs_no_neighbour(tmp_path):
    rows = [
        laion(1), laion(2, URL=None), laion(3, URL="  "), laion(4, TEXT=None), laion(5, TEXT=""), laion(1),
        laion(6, WIDTH=math.nan, similarity=math.nan, HEIGHT=-1.0),
    ]  # fmt: skip
    write_parquet(tmp_path / "a.parquet", rows, {"WIDTH": pa.float64(), "HEIGHT": pa.float64()})
    assert reasons(tmp_path, preset="laion_2b_en") == {"no_url": 2, "no_caption": 2, "repeated_id": 1}
    first, last = documents(tmp_path, preset="laion_2b_en")
    assert (first.origin.offset, last.origin.offset) == (0, 6)
    assert (last.images[0].width, last.images[0].height, last.images[0].scores["similarity"]) == (None, None, None)


def test_a_text_that_is_none_is_counted(tmp_path):
    table = pa.table({"url": ["u", "v"], "caption": pa.array([b"ok", b"\xff"], pa.binary())})
    pq.write_table(table, tmp_path / "a.parquet")
    assert reasons(tmp_path) == {"not_utf8": 1}
    pq.write_table(pa.table({"url": ["u"], "caption": [7]}), tmp_path / "a.parquet")
    assert reasons(tmp_path) == {"wrong_type": 1}


def test_invalid_utf8_inside_a_text_column_costs_its_row_only(tmp_path):
    broken = pa.array([b"good", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"url": ["u", "v"], "caption": broken}), tmp_path / "a.parquet")
    assert urls(tmp_path) == ["u"]
    assert reasons(tmp_path) == {"not_utf8": 1}


def test_laion_coco_keeps_the_caption_that_was_chosen_and_the_alt_text_beside_it(tmp_path):
    row = laion(1, top_caption="a dog", all_captions=["a cat", "a dog"], all_similarities=[0.2, 0.3])
    write_parquet(tmp_path / "a.parquet", [row])
    (document,) = documents(tmp_path, preset="laion_coco")
    assert (document.text, document.images[0].alt) == ("a dog", "caption 1")
    assert document.images[0].scores["all_similarities"] == 0.3


def test_the_columns_of_coyo_and_datacomp_are_kept_under_their_own_names(tmp_path):
    coyo = {
        "id": 1, "url": "u", "text": "t", "width": 300, "height": 200, "image_phash": "a" * 16, "text_length": 1,
        "word_count": 1, "num_tokens_bert": 1, "num_tokens_gpt": 1, "num_faces": 0, "clip_similarity_vitb32": 0.3,
        "clip_similarity_vitl14": 0.25, "nsfw_score_opennsfw2": 0.1, "nsfw_score_gantman": 0.2,
        "watermark_score": 0.3, "aesthetic_score_laion_v2": 5.5,
    }  # fmt: skip
    write_parquet(tmp_path / "coyo.parquet", [coyo])
    (image,) = documents(tmp_path / "coyo.parquet", preset="coyo_700m")[0].images
    asked = (*SETS["coyo_700m"].numbers, "image_phash")
    assert image.scores == {name: coyo[name] for name in asked}
    pool = {
        "uid": "f" * 32, "url": "u", "text": "t", "original_width": 300, "original_height": 200,
        "clip_b32_similarity_score": 0.25, "clip_l14_similarity_score": 0.2, "face_bboxes": [[0.1, 0.1, 0.2, 0.2]],
        "sha256": "0" * 64,
    }  # fmt: skip
    write_parquet(tmp_path / "pool.parquet", [pool, pool])
    (document,) = documents(tmp_path / "pool.parquet", preset="datacomp")
    scores = {"clip_b32_similarity_score": 0.25, "clip_l14_similarity_score": 0.2}
    assert (document.images[0].width, document.images[0].scores) == (300, scores)
    assert reasons(tmp_path / "pool.parquet", preset="datacomp") == {"repeated_id": 1}


def test_conceptual_captions_need_no_header(tmp_path):
    (tmp_path / "Train_GCC.tsv").write_text('a "red" bus\thttp://a.example/1\nbroken line\ntwo\thttp://a.example/2\n')
    assert [d.text for d in documents(tmp_path, preset="cc3m")] == ['a "red" bus', "two"]
    assert reasons(tmp_path, preset="cc3m") == {"malformed_row": 1}
    (tmp_path / "Train_GCC.tsv").write_text("http://a.example/1\tone\n")
    assert urls(tmp_path, preset="cc12m") == ["http://a.example/1"]


def test_a_header_in_another_order_is_taken_before_the_presets(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfurl\tcaption\r\nhttp://a.example/1\tone\r\n")
    (document,) = documents(tmp_path, preset="cc3m")
    assert (document.origin.url, document.text, document.origin.offset) == ("http://a.example/1", "one", 16)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_csv_may_have_line_breaks_in_quotes_and_stray_quotes(tmp_path, suffix):
    text = 'url,caption\nu1,"two\nlines, ""quoted"""\nu2,a 5" pipe\nu3,plain\nu4,"never closed\nu5,last\n'
    data = text.encode()
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    found = documents(tmp_path)
    assert [(d.origin.url, d.text) for d in found] == [
        ("u1", 'two\nlines, "quoted"'), ("u2", 'a 5" pipe'), ("u3", "plain"), ("u5", "last"),
    ]  # fmt: skip
    assert reasons(tmp_path) == {"malformed_row": 1}


def test_json_lines_may_differ_in_their_keys(tmp_path):
    lines = [
        json.dumps({"other": 1}), json.dumps({"image_url": "u1", "text": "one", "source": "coco"}), "{broken", "[1]",
        "", "NaN",
        json.dumps({"image_url": None, "text": "no image", "source": "localized_narratives"}),
        json.dumps({"url": "u2", "caption": "two", "license": "cc0"}), json.dumps({"image_url": 5, "text": "x"}),
    ]  # fmt: skip
    (tmp_path / "pmd.jsonl").write_text("\n".join(lines))
    found = documents(tmp_path, preset="pmd")
    assert [d.origin.url for d in found] == ["u1", "u2"]
    assert (found[0].images[0].scores, found[1].origin.licence) == ({"source": "coco"}, "cc0")
    assert reasons(tmp_path, preset="pmd") == {"not_json": 3, "no_url": 2, "wrong_type": 1}


def test_a_line_without_end_is_counted_and_never_held(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"url\tcaption\n" + b"x" * 9_000_000 + b"\nu\tc\n")
    tracemalloc.start()
    try:
        assert [type(found).__name__ for found in everything(tmp_path)] == ["Skipped", "Document"]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert reasons(tmp_path) == {"record_too_large": 1}


def test_a_gzip_that_breaks_off_keeps_the_rows_before_the_damage(tmp_path):
    lines = b"url\tcaption\n" + b"".join(b"u%d\t%d\n" % (n, n * 7919 % 1009) for n in range(2_000))
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(lines)[:-500])
    assert urls(tmp_path)[:2] == ["u0", "u1"]
    assert reasons(tmp_path)["damaged_record"] == 1


def test_a_damaged_row_group_costs_its_own_rows_only(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [laion(n) for n in range(30)], row_group_size=10)
    column = pq.read_metadata(path).row_group(1).column(1)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    assert urls(tmp_path, preset="laion_2b_en") == [f"https://a.example/{n}.jpg" for n in (*range(10), *range(20, 30))]
    assert reasons(tmp_path, preset="laion_2b_en") == {"damaged_record": 10}


@pytest.mark.parametrize("name", ["a.parquet", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("bytes_per_item", [1, 333, 1_000])
def test_however_a_file_is_cut_the_same_documents_stand_in_it(tmp_path, name, bytes_per_item):
    rows = [{"url": f"http://a.example/{n}", "caption": f"caption {n} " * (1 + n % 7)} for n in range(57)]
    if name == "a.parquet":
        write_parquet(tmp_path / name, rows, row_group_size=10)
    elif name == "a.tsv":
        (tmp_path / name).write_text("url\tcaption\n" + "".join(f"{r['url']}\t{r['caption']}\n" for r in rows))
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    whole = everything(tmp_path)
    assert len(whole) == 57
    source = ImageCaptions(path=str(tmp_path), bytes_per_item=bytes_per_item)
    items = source.work_items()
    assert everything(tmp_path, bytes_per_item=bytes_per_item) == whole
    assert [item.index for item in items] == list(range(len(items)))
    assert len({item.name for item in items}) == len(items) > 1
    assert sum(item.size_bytes for item in items) == (tmp_path / name).stat().st_size


def test_memory_does_not_grow_with_a_row_group(tmp_path):
    rows = 20_000
    captions = pa.array([f"{n:06d}" * 200 for n in range(rows)])  # 24 MB in one row group
    table = pa.table({"url": pa.array([f"http://a.example/{n}" for n in range(rows)]), "caption": captions})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    size = table.nbytes
    del table, captions
    source = ImageCaptions(path=str(tmp_path), bytes_per_item=1 << 30)
    (item,) = source.work_items()
    tracemalloc.start()  # pyarrow reads a Python file into Python's bytes
    try:
        assert sum(isinstance(found, Document) for found in source.read(item)) == rows
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()


def test_a_csv_and_a_gzip_stay_whole(tmp_path):
    (tmp_path / "a.csv").write_text("url,caption\n" + "u,c\n" * 100)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"url": "u", "caption": "c"}\n' * 100))
    items = ImageCaptions(path=str(tmp_path), bytes_per_item=10).work_items()
    assert [(item.name, item.span) for item in items] == [("a.csv", None), ("b.jsonl.gz", None)]


def test_a_table_without_rows_holds_nothing(tmp_path):
    pq.write_table(
        pa.table({"url": pa.array([], pa.string()), "caption": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    (tmp_path / "b.tsv").write_text("url\tcaption")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.jsonl.gz", "a.csv.zip"])
def test_a_file_without_bytes_is_counted_and_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    (found,) = everything(tmp_path)
    assert (found.reason, found.detail) == ("empty_file", f"{name}: 0 bytes; is the download whole?")


def test_a_row_of_zeros_is_damage_and_no_caption(tmp_path):
    (tmp_path / "a.tsv").write_bytes(
        b"url\tcaption\nhttp://a.example/1\tone" + bytes(99) + b"two\nhttp://a.example/3\tthree\n"
    )
    damage, document = everything(tmp_path)
    assert (damage.reason, damage.offset) == ("damaged_record", 12)
    assert document.nodes[1].text == "three"


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.parquet", b"", "a.parquet: cannot be read as Parquet or Arrow"),
        ("a.parquet", b"PAR1 and more that is none PAR1", "a.parquet: cannot be read as Parquet or Arrow"),
        ("a.tsv.gz", b"no gzip", r"a.tsv.gz: its first line names no column \(no gzip\)"),
        ("a.tsv", b"x\ty\n", r"a.tsv: its first line names no column \(x, y\)"),
        ("a.csv", b"url,words\n1,2\n", "a.csv: no column for the caption: found url, words; expected caption or text"),
    ],
)
def test_a_file_that_is_no_such_table_fails_with_one_line(tmp_path, name, data, problem):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=problem) as failure:
        everything(tmp_path)
    assert "\n" not in str(failure.value)


def test_columns_of_ones_own_are_named_in_the_recipe(tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"link": "u", "words": "w", "quality": "0.5", "label": 3, "x": None}])
    (document,) = documents(
        tmp_path, url_column="link", caption_column="words", numbers=("quality", "x"), slugs=("label", "absent")
    )
    assert document.images[0].scores == {"quality": 0.5, "x": None, "label": "3"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"preset": "laion_2b"}, "unknown set 'laion_2b'. Did you mean 'laion_2b_en'?"),
        ({"bytes_per_item": 0}, "bytes_per_item is 0, expected at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_a_config_error(settings, problem):
    with pytest.raises(ConfigError) as error:
        ImageCaptions(path="x", **settings)
    assert problem in str(error.value)


def test_a_dry_run_knows_columns_and_rows(tmp_path):
    write_parquet(tmp_path / "a.parquet", [laion(1), laion(2, URL=None)])
    write_parquet(tmp_path / "b.parquet", [laion(n) for n in range(4)])
    source = ImageCaptions(path=str(tmp_path), preset="laion_2b_en")
    found = source.preview(source.work_items())
    assert found.columns == tuple(laion(1))
    assert (found.num_documents, found.num_images) == (3, 3)  # half of the two rows that were looked at
    assert found.how == "1 documents in 2 rows of a.parquet"


def test_a_dry_run_of_text_is_a_sample(tmp_path):
    (tmp_path / "a.tsv").write_text("url\tcaption\n" + "http://a.example/x\tcaption\n" * 1_000)
    source = ImageCaptions(path=str(tmp_path))
    found = source.preview(source.work_items())
    assert found.columns == ("url", "caption")
    assert found.num_documents == pytest.approx(1_000, rel=0.01)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_a_dry_run_of_a_broken_file_says_so(tmp_path, name):
    (tmp_path / name).write_bytes(b"none")
    source = ImageCaptions(path=str(tmp_path))
    assert source.preview(source.work_items()).how.startswith(f"the sample cannot be read: {name}: ")


@pytest.mark.parametrize(("name", "rows", "distinct"), [("test_1000", 1_000, 1_000), ("test_10000", 10_000, 9_999)])
def test_a_real_list_of_laion_is_read_whole(name, rows, distinct):
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not beside this checkout")
    found = everything(path, preset="laion_2b_en", bytes_per_item=50_000)
    assert {type(one) for one in found} == {Document}
    assert (len(found), len({one.origin.url for one in found})) == (rows, distinct)
    assert len({one.id for one in found}) == rows
    assert found[0].text == "Classical Masterpieces: Xerses & More, Vol. 8 by Various Artists"
