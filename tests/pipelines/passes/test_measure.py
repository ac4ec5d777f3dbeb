"""Measures of documents and image nodes: the dump's own beside those of the steps."""

from __future__ import annotations

from filters.text_length import TextLength
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.tables import DOCUMENTS, document_row, open_table, read_table
from pipelines.layout import Layout
from pipelines.passes.measure import measure_item
from pipelines.recipe import Step


def test_what_the_dump_measured_stands_beside_what_the_steps_measure_under_a_name_of_its_own(tmp_path):
    layout = Layout(str(tmp_path))
    image = ImageNode(url="u", scores={"similarity": 0.25, "NSFW": "UNSURE"})
    documents = [
        Document(id="a", nodes=(image, TextNode(text="two words")), measures={"num_words": 99}),
        Document(id="b", nodes=(ImageNode(url="v"), TextNode(text="one"))),
    ]
    with open_table(layout.documents("a"), DOCUMENTS, fingerprint="d") as table:
        for document in documents:
            table.add(document_row(document))
    measure_item((Step("text_length", TextLength()),), "a", layout, "m")
    found = read_table(layout.document_scores("a")).to_pydict()
    assert found["num_words"] == [2, 1]
    assert found["dump_num_words"] == [99, None]
    images = read_table(layout.image_scores("a")).to_pydict()
    assert images["dump_similarity"] == [0.25, None]
    assert images["dump_NSFW"] == ["UNSURE", None]
