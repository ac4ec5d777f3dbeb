from __future__ import annotations

from filters.exact_duplicate_text import ExactDuplicateText
from infimm_data.document import Document, Measure, TextNode


def text_hash(*texts: str) -> Measure:
    return ExactDuplicateText().measure(Document(id="0", nodes=tuple(TextNode(text=t) for t in texts)))["text_hash"]


def test_layout_case_and_width_make_no_difference() -> None:
    assert (
        text_hash("The  Old\nLighthouse.") == text_hash("the old lighthouse") == text_hash("the old", "ＬＩＧＨＴhouse")
    )


def test_another_order_of_words_is_another_text() -> None:
    assert text_hash("one two") != text_hash("two one")


def test_a_document_without_a_word_has_no_twin() -> None:
    assert text_hash() is None
    assert text_hash("...", " ") is None


def test_the_hash_is_128_bits_in_hex_and_the_same_on_every_machine() -> None:
    assert text_hash("The old lighthouse") == "77bc15f652a7a788e86df7593eda9094"
