"""Rows of OmniCorpus: its scores go along, and the similarity variant is put in order."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.document import Document, ImageNode
from pipelines.sources.contract import Skipped
from pipelines.sources.omnicorpus import OmniCorpus

URL = "https://a.example/1.jpg"
DETAILS = {
    "aesthetic_prob": 5.5, "bytes": 9000, "d_hash": "ff", "d_hash_dup_count": 2, "height": 480, "img_url_sha": "ab",
    "p_hash": "fe", "p_hash_dup_count": 3, "unsafe_prob": 0.01, "width": 640,
}  # fmt: skip
GENERAL = {
    "domain": ["a.example"], "fluency_prob": 0.9, "id": "7", "non_advertisement_prob": 0.8, "politics_prob": 0.1,
    "porn_prob": 0.0, "toxic_prob": 0.2, "url": "https://a.example/page",
}  # fmt: skip
NUMBER, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
PUBLISHED = pa.schema(  # `dataset_info` of the card of OpenGVLab/OmniCorpus-CC
    {
        "general_metadata": pa.struct(
            {
                "domain": pa.list_(TEXT), "fluency_prob": NUMBER, "id": TEXT, "non_advertisement_prob": NUMBER,
                "politics_prob": NUMBER, "porn_prob": NUMBER, "toxic_prob": NUMBER, "url": TEXT,
            }
        ),
        "images": pa.list_(TEXT), "texts": pa.list_(TEXT),
        "metadata": pa.list_(
            pa.struct(
                {
                    "aesthetic_prob": NUMBER, "bytes": WHOLE, "d_hash": TEXT, "d_hash_dup_count": WHOLE,
                    "height": WHOLE, "img_url_sha": TEXT, "p_hash": TEXT, "p_hash_dup_count": WHOLE,
                    "unsafe_prob": NUMBER, "width": WHOLE,
                }
            )
        ),
    }
)  # fmt: skip
SCORES = {"aesthetic_prob": 5.5, "unsafe_prob": 0.01, "p_hash_dup_count": 3, "d_hash_dup_count": 2}


def row(**changes):
    made = {
        "general_metadata": GENERAL,
        "images": [None, URL, None],
        "texts": ["Before.", None, "After."],
        "metadata": [None, DETAILS, None],
    }
    return made | changes


def similarity_row(**changes):
    return {
        "sentences": [["One."], ["Two."], ["Three."]],
        "matrix": [[[0.1, 0.2, 0.9]], [[0.8, 0.1, 0.7]]],
        "images_info": [{"name": [URL]}, {"name": ["https://a.example/2.jpg"]}],
        "url": "https://a.example/similar",
        **changes,
    }


@pytest.fixture
def read(tmp_path):
    """Return a function that writes rows as Parquet and returns what the source makes of them."""

    def read_rows(*rows, **settings):
        pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / "a.parquet")
        source = OmniCorpus(path=str(tmp_path), **settings)
        (item,) = source.work_items()
        return list(source.read(item))

    return read_rows


def shown(document):
    assert isinstance(document, Document), document
    return [node.url[-5:-4] if isinstance(node, ImageNode) else node.text for node in document.nodes]


def reasons(found):
    return [one.reason if isinstance(one, Skipped) else "document" for one in found]


def test_a_row_becomes_a_document_with_the_scores_of_its_makers(read):
    (document,) = read(row())
    assert shown(document) == ["Before.", "1", "After."]
    assert document.images[0] == ImageNode(url=URL, width=640, height=480, scores=SCORES)
    assert document.origin.url == GENERAL["url"]
    assert document.measures == {
        "fluency_prob": 0.9, "non_advertisement_prob": 0.8, "politics_prob": 0.1, "porn_prob": 0.0, "toxic_prob": 0.2,
    }  # fmt: skip


def test_a_table_with_the_columns_and_types_of_the_card_gives_the_same_document(read, tmp_path):
    (expected,) = read(row())
    pq.write_table(pa.Table.from_pylist([row()], schema=PUBLISHED), tmp_path / "a.parquet")
    source = OmniCorpus(path=str(tmp_path))
    (item,) = source.work_items()
    assert list(source.read(item)) == [expected]
    found = source.preview([item])
    assert found.columns == tuple(PUBLISHED.names)
    assert found.measures == {*SCORES, *expected.measures}


def test_details_of_the_images_alone_are_told_by_order(read):
    (document,) = read(row(metadata=[DETAILS]))
    assert document.images[0].scores == SCORES


def test_a_size_that_is_none_is_unknown(read):
    strange = DETAILS | {"width": 0, "height": -3, "aesthetic_prob": float("nan")}
    image = read(row(metadata=[strange]))[0].images[0]
    assert (image.width, image.height, image.scores["aesthetic_prob"]) == (None, None, None)


def test_broken_rows_are_counted_and_their_neighbours_are_read(read):
    found = read(row(), row(texts=["a"]), row(texts=None), row(general_metadata=None), row(images=[None] * 3))
    assert reasons(found) == ["document", "lists_differ", "broken_record", "document", "document"]
    assert shown(found[4]) == ["Before.", "After."]


def test_the_similarity_variant_is_put_in_sentence_order(read):
    (document,) = read(similarity_row())
    assert shown(document) == ["2", "One. Two.", "1", "Three."]
    assert [image.scores["matched_sim"] for image in document.images] == [0.8, 0.9]
    assert document.origin.url == "https://a.example/similar"


def test_the_similarity_variant_without_its_lists_of_one_is_the_same(read):
    flat = similarity_row(
        sentences=["One.", "Two.", "Three."],
        matrix=[[0.1, 0.2, 0.9], [0.8, 0.1, 0.7]],
        images_info=[{"name": URL}, {"name": "https://a.example/2.jpg"}],
    )
    assert shown(read(flat)[0]) == ["2", "One. Two.", "1", "Three."]


def test_a_matrix_that_does_not_fit_is_counted(read):
    found = read(similarity_row(matrix=[[[0.1, 0.2, 0.9]]]), similarity_row(matrix=None), similarity_row())
    assert reasons(found) == ["broken_record", "broken_record", "document"]
