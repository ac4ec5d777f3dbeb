"""Documents of one row are strangers: changing one changes no logit and no gradient of another, on every back-end.

Rows come from the stream, as in training. The change reaches a document's text and its images; self-attention and
cross-attention both would carry it over.
"""

import dataclasses

import pytest
import torch

from infimm_data.stream.batch import Batch
from infimm_data.stream.stream import one_pass
from infimm_data.stream.tokens import Vocabulary
from model.semantics import SEMANTICS, as_seen
from tests.infimm_data.stream.conftest import SETTINGS, png, sample, shards  # noqa: F401  # a fixture
from tests.model.conftest import SIDE, tiny_model
from tests.model.test_cross_attention import by_loop

BACKENDS = ("dense", "sdpa", "runs", "varlen", "flex")  # flex on a CPU: forward only


def encode(text: str) -> tuple[list[int], list[int]]:
    return [10 + ord(character) % 40 for character in text], list(range(len(text)))


VOCABULARY = Vocabulary(encode=encode, bos=0, eos=1, end_of_chunk=3, image=4, pad=2, fingerprint="small")


@pytest.fixture
def batch(shards) -> Batch:  # noqa: F811  # a fixture
    """One row of four documents: with two images, with none, with one before its text, with one after it."""
    picture = [png(40 * number, (SIDE, SIDE)) for number in range(4)]
    folder = shards(
        [
            sample(0, "two images", picture[0], "one", picture[1], "and two"),
            sample(1, "text alone"),
            sample(2, picture[2], "its words"),
            sample(3, "before it", picture[3]),
        ]
    )
    settings = SETTINGS.model_copy(update={"row_tokens": 80})
    (found,) = one_pass(folder, VOCABULARY, settings, image_side=SIDE, rows=1, split="train")
    assert int(found.document_ids.max()) == 3
    assert len(found.images) == 4
    return found


def model_of(backend: str, monkeypatch, semantics: str = "infimm"):
    if backend == "varlen":  # its kernel is CUDA's; what it computes, one sequence after the other
        monkeypatch.setattr("model.attention_backends._has_varlen", lambda key: True)
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", by_loop)
    return tiny_model(blocks={"backend": backend, "semantics": semantics})


def seen(batch: Batch, semantics: str = "infimm") -> Batch:
    return as_seen(batch, VOCABULARY, semantics)


def changed(batch: Batch, document: int) -> Batch:
    """The same row with other words and other pictures in one document; special tokens stay."""
    inside = batch.document_ids == document
    is_word = inside & (batch.input_ids >= 10)
    images = batch.images.clone()
    own = batch.image_index[inside].unique()
    images[own[own >= 0]] = 255 - images[own[own >= 0]]
    ids = torch.where(is_word, 10 + (batch.input_ids - 10 + 3) % 40, batch.input_ids)
    return dataclasses.replace(batch, input_ids=ids, images=images)


def call(model, batch: Batch, labels=None):
    fields = {name: getattr(batch, name) for name in ("input_ids", "document_ids", "position_ids", "image_index")}
    return model(**fields, images=batch.images, labels=labels)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")  # that is what a CPU can do
@pytest.mark.parametrize(("backend", "semantics"), [(b, "infimm") for b in BACKENDS] + [("runs", s) for s in SEMANTICS])
def test_changing_one_document_changes_no_logit_of_another(batch, backend, semantics, monkeypatch):
    model = model_of(backend, monkeypatch, semantics)
    with torch.no_grad():
        before = call(model, seen(batch, semantics)).logits
        for document in range(4):
            inside = batch.document_ids == document
            after = call(model, seen(changed(batch, document), semantics)).logits
            is_other = ~inside & (batch.document_ids >= 0)
            assert torch.equal(before[is_other], after[is_other])
            assert not torch.equal(before[inside], after[inside])


def input_gradients(model, batch: Batch, document: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of one document's loss: for each token's embedding [T, D], for each image's features [N, P, V]."""
    caught = {}

    def catch_text(module, inputs, output):
        caught["text"] = output
        output.retain_grad()

    def catch_images(module, inputs):
        caught["images"] = inputs[0].detach().requires_grad_()
        return (caught["images"],)

    hooks = [
        model.language.get_input_embeddings().register_forward_hook(catch_text),
        model.perceiver.register_forward_pre_hook(catch_images),
    ]
    labels = torch.where(batch.document_ids == document, batch.labels, -100)
    call(model, batch, labels).loss.backward()
    for hook in hooks:
        hook.remove()
    return caught["text"].grad[0], caught["images"].grad


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "flex"])
@pytest.mark.parametrize("document", [0, 2])
def test_the_loss_of_one_document_has_no_gradient_in_another(batch, backend, document, monkeypatch):
    model, row = model_of(backend, monkeypatch), seen(batch)
    text, images = input_gradients(model, row, document)
    inside = row.document_ids[0] == document
    own = row.image_index[0][inside].unique()
    is_own = torch.isin(torch.arange(len(images)), own)
    assert text[~inside].abs().max() == 0
    assert images[~is_own].abs().max() == 0
    assert (text[inside][:-1].abs().amax(1) > 0).all()  # its last token predicts nothing
    assert (images[is_own].abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "flex"])
def test_changing_one_document_changes_no_gradient_of_another(batch, backend, monkeypatch):
    model = model_of(backend, monkeypatch)
    labels = torch.where(batch.document_ids == 2, batch.labels, -100)

    def gradients(row: Batch) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        call(model, seen(row), labels).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    before = gradients(batch)
    for document in (0, 1, 3):
        after = gradients(changed(batch, document))
        for name, gradient in before.items():
            torch.testing.assert_close(gradient, after[name], atol=1e-6, rtol=1e-4, msg=name)
    assert any(
        not torch.allclose(gradient, after[name], atol=1e-4)
        for after in [gradients(changed(batch, 2))]
        for name, gradient in before.items()
    )
