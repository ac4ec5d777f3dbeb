from __future__ import annotations

from filters.text_length import TextLength
from infimm_data.document import Document, ImageNode, TextNode


def page(*texts: str) -> Document:
    return Document(id="0", nodes=tuple(TextNode(text=text) for text in texts))


def test_words_are_counted_over_all_text_nodes() -> None:
    assert TextLength().measure(page("two words", "and 3 more-or-less here")) == {"num_words": 6, "num_characters": 32}


def test_alt_texts_are_no_words_of_the_document() -> None:
    document = Document(id="0", nodes=(ImageNode(url="u", alt="a cat"), TextNode(text="one")))
    assert TextLength().measure(document)["num_words"] == 1


def test_a_chinese_page_is_counted_by_characters() -> None:
    assert TextLength().measure(page("你好世界"))["num_words"] == 4


def test_the_defaults_drop_below_ten_words_and_above_a_hundred_thousand() -> None:
    rules = TextLength().rules()
    assert [(rule.reason, rule.bound) for rule in rules] == [("too_few_words", 10), ("too_many_words", 100_000)]
