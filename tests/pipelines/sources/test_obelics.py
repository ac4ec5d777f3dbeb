"""Rows of OBELICS: parallel lists in reading order, with what the set says of page and images."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document, ImageNode
from infimm_data.errors import ConfigError
from pipelines.sources.contract import Skipped
from pipelines.sources.obelics import Obelics

URL = "https://a.example/1.jpg"
DETAILS = {
    "document_url": "https://a.example/page", "unformatted_src": "/1.jpg", "src": URL, "formatted_filename": "1",
    "alt_text": "A lighthouse.", "rendered_width": None, "rendered_height": 0, "original_width": 640,
    "original_height": 480, "format": "jpeg",
}  # fmt: skip
GENERAL = {
    "url": "https://a.example/page",
    "warc_filename": "x.warc.gz",
    "warc_record_offset": 7,
    "warc_record_length": 9,
}


def row(images=(None, URL, None), texts=("Before.", None, "After."), metadata=(None, DETAILS, None), general=GENERAL):
    return {
        "images": list(images),
        "texts": list(texts),
        "metadata": json.dumps(metadata),
        "general_metadata": json.dumps(general),
    }


@pytest.fixture
def read(tmp_path):
    """Return a function that writes rows as Parquet and returns what the source makes of them."""

    def read_rows(*rows, **settings):
        pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / "train-00000.parquet")
        source = Obelics(path=str(tmp_path), **settings)
        (item,) = source.work_items()
        return list(source.read(item))

    return read_rows


def shown(document):
    assert isinstance(document, Document), document
    return [node.url if isinstance(node, ImageNode) else node.text for node in document.nodes]


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def test_a_row_becomes_a_document_in_reading_order_with_what_the_set_says(read):
    (document,) = read(row())
    assert shown(document) == ["Before.", URL, "After."]
    assert document.images[0] == ImageNode(url=URL, alt="A lighthouse.", width=640, height=480)
    assert (document.origin.dump, document.origin.offset, document.origin.url) == (
        "train-00000.parquet",
        0,
        GENERAL["url"],
    )
    assert document.measures == {"warc_filename": "x.warc.gz", "warc_record_offset": 7, "warc_record_length": 9}


def test_marks_between_articles_become_a_paragraph_break(read):
    mark = "END_OF_DOCUMENT_TOKEN_TO_BE_REPLACED"
    (document,) = read(row(texts=(f"One.\n\n{mark}\n\nTwo.", None, mark)))
    assert shown(document) == ["One.\n\nTwo.", URL]


def test_where_both_stand_the_image_comes_first_and_where_neither_does_nothing_is(read):
    (document,) = read(row(images=(URL, None, None), texts=("Text.", None, "  "), metadata=[DETAILS, None, None]))
    assert shown(document) == [URL, "Text."]


@pytest.mark.parametrize("metadata", [None, [], "x", [DETAILS] * 2, [1, 2, 3], {"a": 1}])
def test_metadata_that_does_not_fit_costs_what_it_would_have_told_only(read, metadata):
    (document,) = read(row(metadata=metadata))
    assert document.images[0] == ImageNode(url=URL)


def test_metadata_with_one_entry_per_image_is_told_by_order(read):
    other = "https://a.example/2.jpg"
    made = row(images=(URL, None, other), texts=(None, "Text.", None), metadata=[DETAILS, {"alt_text": "B"}])
    assert [image.alt for image in read(made)[0].images] == ["A lighthouse.", "B"]


def test_rows_of_another_shape_are_counted_and_their_neighbours_are_read(read):
    short = row(texts=("Only one.",))
    nothing = row(images=[None], texts=[None], metadata=[None])
    missing = {"images": None, "texts": ["a"], "metadata": None, "general_metadata": None}
    found = read(row(), short, nothing, missing, row(images=["https://a.example/2.jpg"] * 3))
    assert reasons(found) == ["document", "lists_differ", "no_content", "broken_record", "document"]
    assert found[1].detail == "1 texts, 3 images; expected as many of both"
    assert (found[1].offset, found[1].url) == (1, GENERAL["url"])


def test_lists_of_something_else_are_counted(tmp_path):
    lines = [row(texts=("a", 7, None)), row(images=(None, 7, None)), row() | {"images": "abc"}, row()]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = Obelics(path=str(tmp_path))
    found = [one for item in source.work_items() for one in source.read(item)]
    assert reasons(found) == ["broken_record", "broken_image", "document", "broken_record", "document"]


def test_general_metadata_may_be_a_struct(tmp_path):
    made = row() | {
        "general_metadata": {"url": "https://a.example/struct"},
        "metadata": [None, {"alt_text": "B"}, None],
    }
    pq.write_table(pa.Table.from_pylist([made]), tmp_path / "a.parquet")
    source = Obelics(path=str(tmp_path))
    (document,) = source.read(source.work_items()[0])
    assert (document.origin.url, document.images[0].alt) == ("https://a.example/struct", "B")


def test_a_dry_run_counts_rows(tmp_path):
    for number, rows in enumerate((3, 3)):
        pq.write_table(pa.Table.from_pylist([row()] * rows), tmp_path / f"{number}.parquet")
    source = Obelics(path=str(tmp_path))
    preview = source.preview(source.work_items())
    assert (preview.num_documents, preview.columns) == (6, ("images", "texts", "metadata", "general_metadata"))


def test_without_the_datasets_package_its_prefix_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"needs the datasets package; pip install -e '\.\[datasets\]'"):
        Obelics(path="datasets:HuggingFaceM4/OBELICS").work_items()


class TestThroughDatasets:
    """What the library loads is what our own reader reads."""

    @pytest.fixture(autouse=True)
    def datasets(self, monkeypatch, tmp_path):
        """The library, without its progress bars and its cache elsewhere; skips where it is not installed."""
        monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
        self.library = pytest.importorskip("datasets", reason="the optional package datasets is not installed")
        self.library.disable_progress_bars()

    def read(self, source):
        return [one for item in source.work_items() for one in source.read(item)]

    def test_a_saved_folder_gives_the_same_by_both_roads(self, tmp_path):
        rows = [row(images=(None, f"https://a.example/{n}.jpg", None)) for n in range(7)]
        self.library.Dataset.from_list(rows).save_to_disk(tmp_path / "saved", num_shards=2)
        through = self.read(Obelics(path=f"datasets:{tmp_path / 'saved'}"))
        own = self.read(Obelics(path=str(tmp_path / "saved")))
        assert [document.nodes for document in through] == [document.nodes for document in own]
        assert [document.origin.url for document in through] == [GENERAL["url"]] * 7
        assert len({document.id for document in through}) == 7

    def test_a_folder_of_parquet_files_gives_one_work_item_per_file(self, tmp_path):
        for number in range(3):
            rows = [row(images=(None, f"https://a.example/{number}-{n}.jpg", None)) for n in range(2)]
            (tmp_path / "set").mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set" / f"train-0000{number}.parquet")
        source = Obelics(path=f"datasets:{tmp_path / 'set'}")
        assert [item.name for item in source.work_items()] == [f"set/train-0000{n}-of-00003" for n in range(3)]
        assert [one.images[0].url[-7:] for one in self.read(source)] == [
            f"{n}-{m}.jpg" for n in range(3) for m in (0, 1)
        ]

    def test_what_cannot_be_loaded_is_a_config_error_in_one_line(self, tmp_path):
        with pytest.raises(ConfigError, match=r"datasets cannot load 'datasets:/nowhere' \(split train\)"):
            Obelics(path="datasets:/nowhere").work_items()
        with pytest.raises(ConfigError, match="expected datasets:NAME or datasets:NAME#SUBSET@REVISION"):
            Obelics(path="datasets:").work_items()
