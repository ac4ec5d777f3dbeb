"""Which image a token sees, by name; and the traps that the published codes fall into (anchors, training 2.1)."""

import pytest
import torch

from infimm_data.stream.batch import Batch
from infimm_data.stream.tokens import Vocabulary
from model.config import SemanticsName
from model.semantics import SEMANTICS, as_seen, documents_with_images, latest_images
from tests.model.conftest import pictures, rows, tiny_model

IMAGE, EOC, EOS = 40, 41, 42
VOCABULARY = Vocabulary(
    encode=lambda text: ([], []), bos=5, eos=EOS, end_of_chunk=EOC, image=IMAGE, pad=2, fingerprint=""
)
DOCUMENT = [5, 7, IMAGE, 8, EOC, 9, IMAGE, 10, EOC, EOS]
BACKENDS = ["dense", "sdpa", "runs"]


def batch(*ids: list[list[int]], length: int = 24) -> Batch:
    """Rows of documents with their latest images, as the stream gives them."""
    fields = rows(*([(own, [-1] * len(own)) for own in row] for row in ids), length=length)
    is_image = (fields["input_ids"] == IMAGE) & (fields["document_ids"] >= 0)
    index = latest_images(is_image, fields["document_ids"], is_image.sum(1))
    fields["image_index"] = index
    sources = torch.zeros_like(fields["input_ids"])
    return Batch(**fields, labels=fields["input_ids"], images=pictures(int(is_image.sum())), sources=sources)


def seen(name: str, *ids: list[list[int]], seed: int = 0) -> list[list[int]]:
    given = batch(*ids)
    found = as_seen(given, VOCABULARY, name, seed=seed).image_index
    return [found[row, : sum(map(len, own))].tolist() for row, own in enumerate(ids)]


def changed_by(model, given: Batch, image: int) -> list[bool]:
    """Which tokens of row 0 an image changes."""

    def logits(images):
        with torch.no_grad():
            return model(
                given.input_ids, document_ids=given.document_ids, position_ids=given.position_ids,
                image_index=given.image_index, images=images,
            ).logits[0]  # fmt: skip

    darker = given.images.clone()
    darker[image] //= 2
    return (logits(given.images) != logits(darker)).any(-1).tolist()


def test_every_name_of_a_recipe_is_there():
    from typing import get_args

    assert list(get_args(SemanticsName)) == list(SEMANTICS)


@pytest.mark.parametrize("name", ["infimm", "infimm_causal", "openflamingo"])
def test_a_token_sees_the_latest_image_and_an_image_token_its_own(name):
    assert seen(name, [DOCUMENT]) == [[-1, -1, 0, 0, 0, 0, 1, 1, 1, 1]]


def test_idefics_forgets_the_image_after_an_end_of_text():
    turns = [5, IMAGE, 7, EOS, 8, 9, IMAGE, 10, EOS, 11]
    assert seen("idefics", [turns]) == [[-1, 0, 0, 0, -1, -1, 1, 1, 1, -1]]
    assert seen("idefics", [[5, 6, EOS], [IMAGE, 7]]) == [[-1, -1, -1, 0, 0]]


def test_idefics_keeps_the_image_that_a_continued_piece_brings_along():
    given = batch([[7, 8, EOS, 9]])
    given.image_index[0, :4] = 0  # a piece without its `<image>`, as the stream cuts it
    assert as_seen(given, VOCABULARY, "idefics").image_index[0, :4].tolist() == [0, 0, 0, -1]


def test_flamingo_sees_the_previous_or_the_next_image_for_a_whole_document():
    previous, following = [-1, -1, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, -1, -1, -1]
    found = [seen("flamingo", [DOCUMENT], seed=seed)[0] for seed in range(200)]
    assert all(index in (previous, following) for index in found)
    assert 70 <= sum(index == following for index in found) <= 130  # p = .5: 4 standard deviations


def test_flamingo_chooses_by_document_wherever_it_stands():
    others = [[5, IMAGE, 6 + i, EOC, IMAGE, 7, EOS] for i in range(6)]
    for other in others:
        alone = seen("flamingo", [DOCUMENT])[0]
        packed = seen("flamingo", [other, DOCUMENT])[0][len(other) :]
        assert packed == [i + 2 if i >= 0 else -1 for i in alone]
    choices = {seen("flamingo", [other])[0][0] for other in others}
    assert choices == {-1, 0}  # each chooses for itself


def test_flamingo_never_looks_ahead_into_the_next_document():
    text_only = [5, 6, 7]
    for seed in range(10):
        assert seen("flamingo", [text_only, DOCUMENT], seed=seed)[0][:3] == [-1] * 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_trap_1_text_before_the_first_image_sees_none(backend):
    """Published codes with all previous images visible average over all of them, later ones included."""
    model = tiny_model(blocks={"backend": backend})
    assert changed_by(model, batch([DOCUMENT]), 0)[:2] == [False, False]
    assert changed_by(model, batch([DOCUMENT]), 1)[:6] == [False] * 6


def test_trap_2_more_image_tokens_than_images_is_an_error():
    """The published mask would then let a token attend to everything alike."""
    ids = torch.tensor([[5, IMAGE, 7, IMAGE, 8]])
    with pytest.raises(ValueError, match="row 0: 2 <image> tokens, but 1 images"):
        latest_images(ids == IMAGE, torch.zeros_like(ids), torch.tensor([1]))


def test_trap_3_text_after_the_end_of_a_chunk_still_sees_its_image():
    assert seen("infimm", [[5, IMAGE, 7, EOC, 8]]) == [[-1, 0, 0, 0, 0]]
    assert changed_by(tiny_model(), batch([[5, IMAGE, 7, EOC, 8]]), 0)[:5] == [False, True, True, True, True]


@pytest.mark.parametrize("name", list(SEMANTICS))
def test_trap_4_a_document_never_sees_the_image_of_the_one_before_in_its_row(name):
    first, second, third = [5, IMAGE, 7, EOS], [5, 8, 9], [5, 10, IMAGE, 11]
    index = seen(name, [first, second, third])[0]
    assert set(index[:4]) <= {-1, 0}
    assert index[4:7] == [-1] * 3
    assert set(index[7:]) <= {-1, 1}


def test_trap_4_the_flag_is_of_a_document_not_of_a_row():
    given = batch([[5, IMAGE, 7], [5, 8, 9], [5, 10, IMAGE]], [[5, 6]], length=10)
    acts = documents_with_images(given.image_index, given.document_ids)
    assert acts.tolist() == [[True] * 3 + [False] * 3 + [True] * 3 + [False], [False] * 10]


def test_trap_5_each_row_goes_on_with_its_own_last_image():
    from model.generate import Prompt, Sampling, generate

    model, images = tiny_model(), pictures(3)
    one = Prompt((5, IMAGE, 7, IMAGE, 8), (images[0], images[1]))
    two = Prompt((5, IMAGE, 9), (images[2],))
    together = generate(model, [one, two], VOCABULARY, Sampling(max_new_tokens=6))
    assert together == [generate(model, [prompt], VOCABULARY, Sampling(max_new_tokens=6))[0] for prompt in (one, two)]


@pytest.mark.parametrize(
    ("name", "acts"),
    [
        ("infimm", [True] * 5 + [False] * 3 + [False] * 2),
        ("infimm_causal", [False, False, True, True, True] + [False] * 5),
        ("openflamingo", [True] * 8 + [False] * 2),
        ("idefics", [True] * 8 + [False] * 2),
        ("flamingo", [True] * 8 + [False] * 2),
    ],
)
def test_a_block_acts_where_its_semantics_says_and_never_on_padding(name, acts):
    given = batch([[5, 6, IMAGE, 7, 8], [5, 9, 10]], length=10)
    assert SEMANTICS[name].acts(given.image_index, given.document_ids)[0].tolist() == acts


@pytest.mark.parametrize(("name", "is_plain"), [("infimm", True), ("infimm_causal", True), ("openflamingo", False)])
def test_without_an_image_infimm_is_the_plain_language_model_and_openflamingo_is_not(name, is_plain):
    model, given = tiny_model(blocks={"semantics": name}), batch([[5, 6, 7, 8]], length=4)
    with torch.no_grad():
        got = model(
            given.input_ids, document_ids=given.document_ids, position_ids=given.position_ids,
            image_index=given.image_index, images=given.images,
        ).logits  # fmt: skip
        plain = model.language(input_ids=given.input_ids).logits
    assert torch.allclose(got, plain, atol=1e-5) == is_plain


def test_the_causal_flag_gives_the_same_with_an_image_still_to_come():
    """InfiMM's own flag does not: it opens the feed-forward for the text before an image that comes later."""
    short, long = [5, 6, 7], [5, 6, 7, IMAGE, 8]
    for name, is_same in (("infimm_causal", True), ("infimm", False)):
        model, found = tiny_model(blocks={"semantics": name}), []
        for ids in (short, long):
            given = batch([ids], length=len(ids))
            with torch.no_grad():
                found.append(
                    model(
                        given.input_ids, document_ids=given.document_ids, position_ids=given.position_ids,
                        image_index=given.image_index, images=given.images,
                    ).logits[0, :3]
                )  # fmt: skip
        assert torch.allclose(*found, atol=1e-5) == is_same
