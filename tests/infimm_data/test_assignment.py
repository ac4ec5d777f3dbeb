"""Images get the sentences that MMC4's assignment gives them: exact, and the same at ties on every run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from infimm_data.assignment import assign_images, in_assigned_order, sentences_before, sentences_of, solve
from infimm_data.document import Document, ImageNode, TextNode

EXAMPLE = Path(__file__).resolve().parents[2] / "../shared/data/interleaved_mmc4_example/mmc4_readme_example.json"
BOOK = EXAMPLE.parents[1] / "interleaved_openstax_anthropology/interleaved.jsonl"
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_first_of_the_best_of_all_assignments(seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        rows = int(rng.integers(1, 5))
        columns = int(rng.integers(rows, 7))
        costs = rng.integers(0, int(rng.integers(2, 6)), (rows, columns)).astype(np.int64)
        every = itertools.permutations(range(columns), rows)
        _, best = min((int(costs[range(rows), one].sum()), one) for one in every)
        assert tuple(solve(costs).tolist()) == best


def test_the_published_example_gives_its_published_assignment():
    if not EXAMPLE.exists():
        pytest.skip("the example document of MMC4 is not beside the checkout")
    record = json.loads(EXAMPLE.read_text())
    found = assign_images(record["similarity_matrix"])
    assert found == [image["matched_text_index"] for image in record["image_info"]] == [2, 1]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([], []),
        ([[], []], [None, None]),
        ([[0.1, 0.9]], [1]),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 1]),  # all equal: in order
        ([[0.5, 0.5, 0.5]], [0]),
        ([[0.9, 0.8], [0.9, 0.1]], [1, 0]),  # the sum counts, not the first image's best
        ([[0.2], [0.6], [0.4]], [0, 0, 0]),  # the best image gets the one sentence; the others their best, the same
        ([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]], [0, 0, 1]),
        ([[NAN, 0.4], [NAN, NAN]], [1, None]),
        ([[INF, 0.4], [0.3, -INF]], [1, 0]),
        ([[0.1, NAN], [0.2, NAN]], [0, 0]),
    ],
)
def test_assignments(matrix, expected):
    if matrix == []:
        matrix = np.zeros((0, 3))
    assert assign_images(matrix) == expected


def test_an_image_below_the_bound_takes_no_part_and_no_sentence():
    matrix = [[0.14, 0.149], [0.2, 0.15], [0.15, 0.1]]
    assert assign_images(matrix, 0.15) == [None, 1, 0]
    assert assign_images(matrix, 0.0) == [1, 0, 0]
    assert assign_images(matrix, 0.3) == [None, None, None]


def test_what_is_no_matrix_is_refused():
    with pytest.raises(ValueError, match="1 axes, expected images x sentences"):
        assign_images([0.1, 0.2])


PAGE = Document(
    id="a",
    nodes=(
        ImageNode(url="i0"),
        TextNode(text="One. Two.\n\nThree."),
        ImageNode(url="i2"),
        ImageNode(url="i3"),
        TextNode(text="Four.  Five."),
    ),
)


def placed(**places):
    found = in_assigned_order(PAGE, {int(name[1:]): place for name, place in places.items()})
    assert [position for position, node in found if isinstance(node, ImageNode)] == [
        int(node.url[1:]) for _, node in found if isinstance(node, ImageNode)
    ]
    return [node.url if isinstance(node, ImageNode) else node.text for _, node in found]


def test_sentences_are_counted_over_all_texts():
    spans = sentences_of(PAGE, 9)
    assert [PAGE.nodes[node].text[start:end] for node, start, end in spans] == [
        "One.",
        "Two.",
        "Three.",
        "Four.",
        "Five.",
    ]
    assert sentences_of(PAGE, 4) == spans[:4]
    assert [sentences_before(PAGE, node, spans) for node in (0, 2, 3)] == [0, 3, 3]


def test_each_image_stands_before_its_sentence():
    assert placed(i0=4, i2=1, i3=0) == ["i3", "One.", "i2", "Two.\n\nThree.", "Four.", "i0", "Five."]


def test_images_of_one_sentence_keep_their_order_and_others_their_place():
    assert placed(i0=3, i3=3) == ["One. Two.\n\nThree.", "i2", "i0", "i3", "Four.  Five."]
    assert placed() == ["i0", "One. Two.\n\nThree.", "i2", "i3", "Four.  Five."]


@pytest.mark.parametrize("seed", range(3))
def test_real_documents_keep_every_word_and_every_image_before_its_sentence(seed):
    if not BOOK.exists():
        pytest.skip("the textbook modules are not beside the checkout")
    rng = np.random.default_rng(seed)
    for line in BOOK.read_text().splitlines():
        content = json.loads(line)["content"]
        nodes = tuple(
            TextNode(text=one["text"]) if one["type"] == "text" else ImageNode(url=str(number))
            for number, one in enumerate(content)
        )
        document = Document(id="a", nodes=nodes)
        spans = sentences_of(document, 10_000)
        places = {node: int(rng.integers(len(spans))) for node, one in enumerate(nodes) if isinstance(one, ImageNode)}
        found = in_assigned_order(document, places)
        words = " ".join(node.text for _, node in found if isinstance(node, TextNode)).split()
        assert words == document.text.split()
        assert sorted(position for position, _ in found if position >= 0) == sorted(places)
        for at, (position, _) in enumerate(found):
            if position >= 0:
                following = next(node.text for _, node in found[at:] if isinstance(node, TextNode))
                node, start, end = spans[places[position]]
                assert following.startswith(document.nodes[node].text[start:end])
