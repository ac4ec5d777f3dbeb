"""Rows of turns into nodes, and back to the very rows that they were."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from infimm_data.document import Document, ImageNode, TextNode
from pipelines.annotations.conversations import (
    NodesChanged,
    NotAConversation,
    names_shown,
    nodes_of,
    read_conversation,
    record_of,
    written_row,
)

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data"


def turns(*pairs):
    return [{"from": who, "value": what} for who, what in pairs]


ROWS = {
    "llava": {
        "id": "000000033471",
        "image": "coco/1.jpg",
        "conversations": turns(("human", "<image>\nWhat? "), ("gpt", "A bus.\n")),
    },
    "an integer id": {
        "id": 33471,
        "image": "coco/1.jpg",
        "conversations": turns(("human", "Q\n<image>"), ("gpt", "A")),
    },
    "a model and extras": {
        "id": "wgByO4Y_0",
        "model": "",
        "conversations": [
            {"from": "human", "value": " q ", "text": "t", "markdown": None},
            {"value": "a", "from": "gpt"},
        ],
    },
    "text only": {"id": "x", "conversations": turns(("human", "hi"), ("gpt", "hello"), ("human", "\t"), ("gpt", ""))},
    "answer first": {"id": 1, "conversations": turns(("gpt", "a"), ("gpt", "b"), ("human", "c"), ("human", "d"))},
    "system": {
        "id": 1,
        "system": "Be kind.",
        "conversations": turns(("system", "And short."), ("human", "q"), ("gpt", "a")),
    },
    "messages": {
        "messages": [{"role": "user", "content": "<image><image>q"}, {"content": "a", "role": "assistant"}],
        "images": ["1.jpg", "2.jpg"],
    },
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": "1.jpg"},
                    {"type": "text", "text": "a <image> b"},
                    {"type": "image"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": ""}]},
        ],
        "images": ["2.jpg", "3.jpg"],
    },
    "numbers": {
        "id": 1.5,
        "score": 1e-7,
        "big": 2**80,
        "flag": False,
        "nothing": None,
        "deep": [{"a": [1, "é\u2028"]}],
        "conversations": turns(("human", "q"), ("chatgpt", "a")),
    },
    "an empty image": {"id": 1, "image": "", "conversations": turns(("human", "q"), ("gpt", "a"))},
}


def document_of(row):
    conversation = read_conversation(copy.deepcopy(row))
    nodes = nodes_of(conversation, names_shown(conversation))
    return Document(id="x", nodes=nodes, record=record_of(conversation))


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_written_back_equal_to_what_was_read(name):
    back = written_row(document_of(ROWS[name]))
    assert back == ROWS[name]
    assert json.dumps(back) == json.dumps(ROWS[name])  # the order of the keys and the kinds of numbers as well


def test_real_rows_are_written_back_equal():
    path = SAMPLES / "instruct_llamafactory/mllm_demo.json"
    if not path.is_file():
        pytest.skip("the LLaMA-Factory sample is not beside this checkout (../shared/data/instruct_llamafactory)")
    rows = json.loads(path.read_text())
    assert len(rows) == 6
    assert [written_row(document_of(row)) for row in rows] == rows


def test_nodes_have_the_role_of_their_turn_and_loss_on_answers_alone():
    assert document_of(ROWS["llava"]).nodes == (
        ImageNode(url="coco/1.jpg", role="user"),
        TextNode(text="\nWhat? ", role="user", loss=False),
        TextNode(text="A bus.\n", role="assistant", loss=True),
    )
    assert [(node.role, node.loss) for node in document_of(ROWS["system"]).texts] == [
        ("system", False), ("system", False), ("user", False), ("assistant", True),
    ]  # fmt: skip


def test_images_stand_where_their_placeholders_are_in_the_order_of_both():
    nodes = document_of(ROWS["parts"]).nodes
    assert [node.url if isinstance(node, ImageNode) else node.text for node in nodes] == [
        "1.jpg", "a ", "2.jpg", " b", "3.jpg", "x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (7, "not_an_object"),
        (None, "not_an_object"),
        ({}, "no_conversation"),
        ({"conversations": []}, "no_conversation"),
        ({"conversations": "hi"}, "no_conversation"),
        ({"conversations": ["hi"]}, "bad_turn"),
        ({"conversations": [{"from": "human"}]}, "bad_turn"),
        ({"conversations": turns(("human", 7))}, "bad_turn"),
        ({"conversations": turns(("human", [7]))}, "bad_turn"),
        ({"conversations": turns(("tool", "x"))}, "unknown_role"),
        ({"conversations": turns((["human"], "x"))}, "unknown_role"),
        ({"conversations": turns(("human", "x")), "image": 7}, "bad_image_list"),
        ({"conversations": turns(("human", "x")), "images": ["a", None]}, "bad_image_list"),
        ({"conversations": turns(("human", "<video>x")), "videos": ["a.mp4"]}, "other_media"),
        ({"conversations": turns(("human", "x")), "score": float("inf")}, "not_json"),
        ({"conversations": turns(("human", "<image>"))}, "placeholder_mismatch"),
        ({"conversations": turns(("human", "x")), "image": "a.jpg"}, "placeholder_mismatch"),
        ({"conversations": turns(("human", "<image><image>")), "image": "a.jpg"}, "placeholder_mismatch"),
    ],
)
def test_what_is_no_conversation_has_its_reason(row, reason):
    with pytest.raises(NotAConversation) as problem:
        document_of(row)
    assert problem.value.reason == reason


def test_a_document_that_was_no_row_becomes_one():
    nodes = (
        ImageNode(url="a.jpg", role="user"), TextNode(text="What?", role="user", loss=False),
        TextNode(text="A bus.", role="assistant"),
    )  # fmt: skip
    assert written_row(Document(id="x", nodes=nodes)) == {
        "id": "x", "image": "a.jpg", "conversations": turns(("human", "<image>\nWhat?"), ("gpt", "A bus.")),
    }  # fmt: skip


def test_a_document_that_lost_a_node_is_not_written_as_if_it_had_it():
    whole = document_of(ROWS["llava"])
    for nodes in (whole.nodes[:-1], (*whole.nodes, TextNode(text="more"))):
        with pytest.raises(NodesChanged, match="has not the nodes that its record tells of"):
            written_row(Document(id="x", nodes=nodes, record=whole.record))
