"""Documents into tokens: the interleaved form, labels, the image of each token, and pieces."""

import numpy as np
import pytest

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.stream.tokens import AT_SENTENCE, AT_WORD, IGNORED, INSIDE_WORD, cut_qualities, pieces, tokenise
from tests.infimm_data.stream.conftest import BOS, EOC, EOS, IMAGE, decode, sample

PICTURE = b"never decoded here"


def tokens_of(vocabulary, *parts, **settings):
    return tokenise(sample(0, *parts).document, vocabulary, **settings)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("a", PICTURE, "b"), "<s>a<eoc><image>b<eoc></s>"),
        ((PICTURE, "b", PICTURE, "c"), "<s><image>b<eoc><image>c<eoc></s>"),
        (("only text",), "<s>only text<eoc></s>"),
        ((PICTURE,), "<s><image><eoc></s>"),
        ((PICTURE, PICTURE, "b"), "<s><image><eoc><image>b<eoc></s>"),
        (("a", "b"), "<s>a\n\nb<eoc></s>"),
        (("  ", PICTURE, "b"), "<s><image>b<eoc></s>"),
    ],
)
def test_a_document_is_interleaved_as_open_flamingo_does(vocabulary, parts, text):
    assert decode(tokens_of(vocabulary, *parts).ids) == text


@pytest.mark.parametrize("parts", [(), ("",), (" \n ",)])
def test_a_document_with_neither_text_nor_image_gives_no_tokens(vocabulary, parts):
    assert len(tokens_of(vocabulary, *parts)) == 0


def test_a_token_sees_the_latest_image_and_the_image_token_its_own(vocabulary):
    tokens = tokens_of(vocabulary, "ab", PICTURE, "c", PICTURE, "d")
    #       <s>  a   b  eoc img  c eoc img  d eoc </s>
    assert tokens.image_index.tolist() == [-1, -1, -1, -1, 0, 0, 0, 1, 1, 1, 1]


def test_start_and_image_have_no_loss_and_the_ends_have(vocabulary):
    tokens = tokens_of(vocabulary, "a", PICTURE, "b")
    unlearned = {int(i) for i in tokens.ids[tokens.labels == IGNORED]}
    assert unlearned == {BOS, IMAGE}
    assert tokens.labels[-2:].tolist() == [EOC, EOS]


def test_text_without_loss_is_ignored_with_its_ends_and_the_rest_is_not(vocabulary):
    nodes = (TextNode(text="question", role="user", loss=False), TextNode(text="answer", role="assistant"))
    tokens = tokenise(Document(id="x", nodes=nodes), vocabulary)
    assert decode(tokens.labels[tokens.labels != IGNORED]) == "\n\nanswer<eoc></s>"
    silent = tokenise(Document(id="x", nodes=nodes[:1]), vocabulary)
    assert (silent.labels == IGNORED).all()


def test_text_before_the_first_image_can_be_left_out_of_the_loss(vocabulary):
    tokens = tokens_of(vocabulary, "before", PICTURE, "after", loss_before_first_image=False)
    assert decode(tokens.labels[tokens.labels != IGNORED]) == "after<eoc></s>"
    textual = tokens_of(vocabulary, "only", loss_before_first_image=False)
    assert decode(textual.labels[textual.labels != IGNORED]) == "only<eoc></s>"


def test_pieces_keep_every_token_in_order(vocabulary):
    tokens = tokens_of(vocabulary, "one two. three " * 20, PICTURE, "four five. " * 30)
    for length in (1, 2, 7, 50, 1000):
        cut = list(pieces(tokens, length))
        assert all(1 <= len(piece) <= length for piece in cut)
        for column in ("ids", "labels", "image_index"):
            whole = np.concatenate([getattr(piece, column) for piece in cut])
            assert whole.tolist() == getattr(tokens, column).tolist()


def test_a_long_document_is_cut_before_its_last_image_that_fits(vocabulary):
    tokens = tokens_of(vocabulary, "aaaa", PICTURE, "bbbb", PICTURE, "c" * 20)
    first, second, *rest = pieces(tokens, 24)
    assert decode(first.ids) == "<s>aaaa<eoc><image>bbbb<eoc>"
    assert decode(second.ids) == "<image>" + "c" * 20 + "<eoc></s>"
    assert rest == []


def test_without_an_image_the_cut_is_at_a_sentence_then_a_word(vocabulary):
    assert [decode(p.ids) for p in pieces(tokens_of(vocabulary, "One two. Three four five"), 16)] == [
        "<s>One two. ", "Three four ", "five<eoc></s>",
    ]  # fmt: skip
    assert [decode(p.ids) for p in pieces(tokens_of(vocabulary, "One two three"), 10)] == [
        "<s>One two ", "three<eoc></s>",
    ]  # fmt: skip
    assert [decode(p.ids) for p in pieces(tokens_of(vocabulary, "abcdefgh"), 6)] == ["<s>abcde", "fgh<eoc></s>"]


def test_the_start_and_its_image_are_never_a_piece_of_their_own(vocabulary):
    first, *_ = pieces(tokens_of(vocabulary, PICTURE, "a long text without any other image"), 16)
    assert decode(first.ids) == "<s><image>a long text "
    first, *_ = pieces(tokens_of(vocabulary, PICTURE, "averylongwordwithoutanyspace"), 16)
    assert decode(first.ids) == "<s><image>averylongwordw"


def test_a_piece_that_goes_on_sees_its_last_image(vocabulary):
    *_, last = pieces(tokens_of(vocabulary, PICTURE, "a", PICTURE, "word " * 20), 30)
    assert IMAGE not in last.ids
    assert (last.image_index == 1).all()


def test_cut_qualities_know_sentences_words_and_unspaced_scripts():
    text = 'He said "no." Then 你好。再见'
    qualities = cut_qualities(text)
    assert qualities[text.index("said")] == AT_WORD
    assert qualities[text.index("aid")] == INSIDE_WORD
    assert qualities[text.index("Then")] == AT_SENTENCE
    assert qualities[text.index("再")] == AT_SENTENCE
    assert qualities[text.index("好")] == INSIDE_WORD
    assert qualities[0] == INSIDE_WORD


def test_an_image_node_without_file_is_still_a_token(vocabulary):
    tokens = tokenise(Document(id="x", nodes=(ImageNode(url="u"), TextNode(text="a"))), vocabulary)
    assert decode(tokens.ids) == "<s><image>a<eoc></s>"
