"""Chat templates: the published strings and ids, loss on answers alone, splits between exchanges."""

from pathlib import Path

import numpy as np
import pytest

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.shards import Sample
from infimm_data.stream.failures import Failures
from infimm_data.stream.rows import plan_rows
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.stream import Stream
from infimm_data.stream.templates import TEMPLATES, VICUNA_SYSTEM, chat_pieces, chat_prompt, conversation_of
from infimm_data.stream.tokens import IGNORED
from tests.infimm_data.stream.conftest import IMAGE, decode, png, sample

PUBLISHED = Path(__file__).resolve().parents[3] / "../shared/data/infimm_tokenizer"
PICTURE = object()


def user(*parts):
    return [_node(part, "user") for part in parts]


def assistant(*parts):
    return [_node(part, "assistant") for part in parts]


def system(text):
    return [TextNode(text=text, role="system", loss=False)]


def _node(part, role):
    return (
        ImageNode(url="u", role=role) if part is PICTURE else TextNode(text=part, role=role, loss=role == "assistant")
    )


def conversation(*turns) -> Document:
    return Document(id="x", nodes=tuple(node for turn in turns for node in turn))


def cut(document, vocabulary, template, max_tokens=10_000):
    pieces, _ = chat_pieces(conversation_of(document), vocabulary, template, max_tokens)
    return pieces


def whole(document, vocabulary, template):
    (piece,) = cut(document, vocabulary, template)
    return piece


def learnt(piece) -> str:
    return decode(piece.labels[piece.labels != IGNORED])


TWO_ROUNDS = conversation(user(PICTURE, "What is it?"), assistant("A cat."), user("Sure?", PICTURE), assistant("Yes."))


@pytest.mark.parametrize(
    ("template", "text", "answers"),
    [
        (
            "zephyr",
            "<s><|system|>\n</s>\n<|user|>\n<eoc><image>What is it?</s>\n<|assistant|>\nA cat.</s>"
            "\n<|user|>\nSure?<eoc><image></s>\n<|assistant|>\nYes.</s>\n",
            "A cat.</s>Yes.</s>",
        ),
        (
            "vicuna",
            f"<s>{VICUNA_SYSTEM} USER: <image>What is it? ASSISTANT: A cat.<eoc>"
            " USER: Sure?<image> ASSISTANT: Yes.<eoc>",
            " A cat.<eoc> Yes.<eoc>",
        ),
        (
            "llama2",
            "<s>[INST] <eoc><image>What is it? [/INST] A cat. </s><s>[INST] Sure?<eoc><image> [/INST] Yes. </s>",
            " A cat. </s> Yes. </s>",
        ),
    ],
)
def test_a_conversation_is_written_as_published_and_learns_its_answers_alone(vocabulary, template, text, answers):
    piece = whole(TWO_ROUNDS, vocabulary, template)
    assert decode(piece.ids) == text
    assert learnt(piece) == answers
    assert (piece.labels[piece.labels != IGNORED] == piece.ids[piece.labels != IGNORED]).all()
    shown = piece.image_index[piece.ids == IMAGE]
    assert shown.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("template", "start"),
    [
        ("zephyr", "<s><|system|>\nBe kind.</s>\n<|user|>\nHi</s>"),
        ("vicuna", "<s>Be kind. USER: Hi ASSISTANT:"),
        ("llama2", "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]"),
    ],
)
def test_a_system_prompt_stands_where_its_template_has_it_without_loss(vocabulary, template, start):
    piece = whole(conversation(system("Be kind."), user("Hi"), assistant("Hello")), vocabulary, template)
    assert decode(piece.ids).startswith(start)
    assert "kind" not in learnt(piece)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_prompt_of_a_generation_is_what_stands_before_the_answer_in_training(vocabulary, template):
    asked = conversation(user(PICTURE, "What is it?"))
    prompt = chat_prompt(asked, vocabulary, template)
    piece = whole(conversation(asked.nodes, assistant("A cat.")), vocabulary, template)
    assert piece.ids[: len(prompt)].tolist() == prompt.ids.tolist()
    assert (piece.labels[: len(prompt)] == IGNORED).all()
    assert piece.labels[len(prompt)] != IGNORED
    answered = chat_prompt(conversation(asked.nodes, assistant("A cat."), user("Why?")), vocabulary, template)
    assert decode(answered.ids).startswith(decode(prompt.ids))


def test_a_document_without_roles_is_no_conversation_and_stays_as_it_is(vocabulary, shards):
    page = sample(0, "some text", png(1), "more text. " * 30)
    plain, chat = (
        plan_rows([page], vocabulary, StreamSettings(row_tokens=64, template=name), seed=(1,), failures=Failures(3))
        for name in ("plain", "zephyr")
    )
    assert [[piece.tokens.ids.tolist() for piece in row] for row in plain] == [
        [piece.tokens.ids.tolist() for piece in row] for row in chat
    ]
    with pytest.raises(ValueError, match="no node has a role"):
        chat_prompt(page.document, vocabulary, "zephyr")


def test_the_fingerprint_of_a_stream_changes_with_the_template(vocabulary, shards):
    folder = shards([sample(0, "some text")])

    def print_of(name):
        settings = StreamSettings(template=name)
        with Stream(folder, vocabulary, settings, image_side=8, rows=1) as stream:
            return stream.state_dict()["fingerprint"]

    assert len({print_of(name) for name in ("plain", "zephyr", "vicuna", "llama2")}) == 4


LONG = conversation(
    system("Be kind."),
    *(turn for n in range(6) for turn in (user(*([PICTURE] if n in (0, 3) else []), f"Q{n}"), assistant(f"A{n}"))),
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("max_tokens", [64, 90, 130, 1000])
def test_a_long_conversation_is_split_between_exchanges_and_each_part_is_one_of_its_own(
    vocabulary, template, max_tokens
):
    parts = cut(LONG, vocabulary, template, max_tokens)
    assert all(len(part) <= max_tokens for part in parts)
    answers = "".join(learnt(part) for part in parts)
    assert [answers.count(f"A{n}") for n in range(6)] == [1] * 6
    for part in parts:
        text = decode(part.ids)
        assert text.startswith("<s>")
        assert "Be kind." in text
        numbers = [n for n in range(6) if f"A{n}" in text]
        assert [n for n in range(6) if f"Q{n}" in text] == numbers
        # the picture of a question is the latest before it, shown in this very part
        for n in numbers:
            at = text.index(f"A{n}")
            assert text[:at].count("<image>") >= 1
        looked_at = set(part.image_index[part.labels != IGNORED].tolist())
        assert looked_at <= set(part.image_index[part.ids == IMAGE].tolist())
        assert looked_at == {int(n >= 3) for n in numbers}
        assert part.image_index[0] == -1
        assert set(part.image_index.tolist()) - {-1} == set(part.image_index[part.ids == IMAGE].tolist())


def test_a_part_that_goes_on_shows_its_image_again_and_the_system_prompt_looks_at_nothing(vocabulary):
    first, *_, last = cut(LONG, vocabulary, "zephyr", 80)
    assert decode(last.ids).startswith("<s><|system|>\nBe kind.</s>\n<|user|>\n<eoc><image>Q")
    assert last.image_index[last.ids == IMAGE].tolist() == [1]
    assert (last.image_index[: int(np.argmax(last.ids == IMAGE))] == -1).all()
    assert first.image_index[first.ids == IMAGE].tolist() == [0]


def test_a_long_answer_goes_on_and_its_question_is_never_cut(vocabulary):
    answer = "One sentence here. " * 12
    document = conversation(user(PICTURE, "What?"), assistant(answer))
    for max_tokens in (60, 80, 100):
        parts = cut(document, vocabulary, "zephyr", max_tokens)
        assert len(parts) > 1
        assert "What?</s>\n<|assistant|>\nOne" in decode(parts[0].ids)
        assert learnt(parts[0]).startswith("One sentence")
        assert "".join(learnt(part) for part in parts) == answer.strip() + "</s>"
        assert all((part.image_index[part.labels != IGNORED] == 0).all() for part in parts)


def test_a_question_that_fills_a_row_is_left_out_whole_and_counted_and_its_neighbours_stay(vocabulary):
    document = conversation(user("q" * 200), assistant("lost"), user("Short?"), assistant("kept"))
    parts, num_too_long = chat_pieces(conversation_of(document), vocabulary, "zephyr", 100)
    assert [learnt(part) for part in parts] == ["kept</s>"]
    assert num_too_long == 1
    failures = Failures(3)
    settings = StreamSettings(row_tokens=100, template="zephyr")
    plan_rows([Sample(document, {})], vocabulary, settings, seed=(0,), failures=failures)
    assert failures.counts() == {"document:exchange_too_long": 1}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("turns", "answers"),
    [
        ((user("only asked"),), []),
        ((user("asked"), assistant("")), []),
        ((user("asked"), assistant("  \n")), []),
        ((user("a"), assistant("b"), user("dangling")), ["b"]),
        ((assistant("first"), user("a"), assistant("b")), ["first", "b"]),
        ((user("a"), user("b"), assistant("c"), assistant("d")), ["c\n\nd"]),
        ((user(PICTURE), assistant("a picture alone")), ["a picture alone"]),
    ],
)
def test_turns_out_of_order_or_empty_teach_what_is_answered_and_no_more(vocabulary, template, turns, answers):
    found = "".join(learnt(part) for part in cut(conversation(*turns), vocabulary, template))
    end, gap, after = {"zephyr": ("</s>", "", ""), "vicuna": ("<eoc>", " ", ""), "llama2": ("</s>", " ", " ")}[template]
    assert found == "".join(f"{gap}{answer}{after}{end}" for answer in answers)


def test_an_answer_that_is_marked_without_loss_has_none(vocabulary):
    nodes = (*user("a"), TextNode(text="masked", role="assistant", loss=False), *user("b"), *assistant("learnt"))
    assert learnt(whole(Document(id="x", nodes=nodes), vocabulary, "zephyr")) == "learnt</s>"


def test_outer_white_space_of_a_text_is_not_written(vocabulary):
    piece = whole(conversation(user(PICTURE, "\nWhat?  "), assistant(" A cat.\n")), vocabulary, "zephyr")
    assert "<image>What?</s>\n<|assistant|>\nA cat.</s>" in decode(piece.ids)


def test_a_special_token_in_a_text_is_text(vocabulary):
    piece = whole(conversation(user("an <image> and </s>"), assistant("ok")), vocabulary, "zephyr")
    assert IMAGE not in piece.ids


def test_loss_before_the_first_image_can_be_left_out_of_a_conversation(vocabulary):
    document = conversation(user("Hi"), assistant("Hello"), user(PICTURE, "What?"), assistant("A cat."))
    settings = StreamSettings(row_tokens=500, template="zephyr", loss_before_first_image=False)
    ((piece,),) = plan_rows([Sample(document, {})], vocabulary, settings, seed=(0,), failures=Failures(3))
    assert learnt(piece.tokens) == "A cat.</s>"


# --- the published tokenizer


@pytest.fixture(scope="module")
def published():
    if not PUBLISHED.is_dir():
        pytest.skip("the published tokenizer is not beside this checkout (../shared/data/infimm_tokenizer)")
    from model.tokenizer import load_tokenizer

    return load_tokenizer(str(PUBLISHED)).vocabulary


@pytest.fixture(scope="module")
def reference(published):
    """The same tokenizer as transformers itself uses it: special tokens in a text are tokens."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(PUBLISHED), local_files_only=True)


def test_the_zephyr_prompt_has_the_published_ids(published):
    asked = conversation(user(PICTURE, "Please explain this image to me."))
    # fmt: off
    assert chat_prompt(asked, published, "zephyr").ids.tolist() == [
        1, 523, 28766, 6574, 28766, 28767, 13, 2, 28705, 13, 28789, 28766, 1838, 28766, 28767, 13, 32000, 32001,
        5919, 7282, 456, 3469, 298, 528, 28723, 2, 28705, 13, 28789, 28766, 489, 11143, 28766, 28767, 13,
    ]
    # fmt: on


RENDERED = {
    "zephyr": "<s><|system|>\n</s>\n<|user|>\n<|endofchunk|><image>What is it?</s>\n<|assistant|>\nA cat.</s>"
    "\n<|user|>\nSure?<|endofchunk|><image></s>\n<|assistant|>\nYes.</s>\n",
    "vicuna": f"<s>{VICUNA_SYSTEM} USER: <image>What is it? ASSISTANT: A cat.<|endofchunk|>"
    " USER: Sure?<image> ASSISTANT: Yes.<|endofchunk|>",
    "llama2": "<s>[INST] <|endofchunk|><image>What is it? [/INST] A cat. </s>"
    "<s>[INST] Sure?<|endofchunk|><image> [/INST] Yes. </s>",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_ids_are_those_of_the_rendered_text(published, reference, template):
    piece = whole(TWO_ROUNDS, published, template)
    assert piece.ids.tolist() == reference(RENDERED[template], add_special_tokens=False)["input_ids"]
    taught = reference.decode(piece.labels[piece.labels != IGNORED].tolist())
    assert taught.replace(" ", "") == {
        "zephyr": "Acat.</s>Yes.</s>", "vicuna": "Acat.<|endofchunk|>Yes.<|endofchunk|>", "llama2": "Acat.</s>Yes.</s>",
    }[template]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_published_prompt_is_the_beginning_of_its_training_text(published, template):
    asked = conversation(user(PICTURE, "What is it?"))
    prompt = chat_prompt(asked, published, template).ids.tolist()
    piece = whole(conversation(asked.nodes, assistant("A cat.")), published, template)
    assert piece.ids[: len(prompt)].tolist() == prompt
    assert piece.labels[len(prompt)] == piece.ids[len(prompt)]
    assert (piece.labels[: len(prompt)] == IGNORED).all()
