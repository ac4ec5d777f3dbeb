from __future__ import annotations

from filters.exact_duplicate_text import ExactDuplicateText
from infimm_data.document import Document, TextNode


def signature(*texts: str) -> bytes:
    return ExactDuplicateText().signature(Document(id="0", nodes=tuple(TextNode(text=t) for t in texts)))


def test_layout_case_and_width_do_not_count() -> None:
    assert (
        signature("The  Old\nLighthouse.") == signature("the old lighthouse") == signature("the old", "ＬＩＧＨＴhouse")
    )


def test_the_order_of_words_does() -> None:
    assert signature("one two") != signature("two one")


def test_a_document_without_a_word_has_no_twin() -> None:
    assert signature() == b""
    assert signature("...", " ") == b""


def test_it_is_the_same_on_every_machine() -> None:
    assert signature("The old lighthouse").hex() == "77bc15f652a7a788e86df7593eda9094"
