"""The gated block: both back-ends are equal, and a token sees its own image only."""

import pytest
import torch

from model.cross_attention import GatedCrossAttentionBlock
from model.media import documents_with_images, plan_media

INDEX = torch.tensor(
    [[-1, -1, 0, 0, 0, 1, 1, -1, -1, -1], [2, 2, 2, 2, 2, 2, 2, -1, 4, 4], [-1] * 10], dtype=torch.int32
)
DOCUMENTS = torch.tensor([[0] * 7 + [1, 1, -1], [0] * 7 + [1] * 3, [0] * 8 + [-1] * 2], dtype=torch.int32)
IMAGES = 5  # image 3 is seen by no token


def block(gate: float = 0.7) -> GatedCrossAttentionBlock:
    torch.manual_seed(1)
    return GatedCrossAttentionBlock(16, 12, heads=2, head_width=4, ff_multiple=2, gate_start=gate)


def outputs(backend: str, hidden, latents):
    ours, plan = block(), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    hidden, latents = hidden.clone().requires_grad_(), latents.clone().requires_grad_()
    out = ours(hidden, ours.attn.media_keys(latents), plan, backend)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    return {"out": out, "hidden": hidden.grad, "latents": latents.grad, **gradients}


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 10, 16, generator=generator), torch.randn(IMAGES, 3, 12, generator=generator)


def test_runs_and_dense_agree_in_outputs_and_gradients(inputs):
    runs, dense = outputs("runs", *inputs), outputs("dense", *inputs)
    assert runs.keys() == dense.keys()
    for name in runs:
        torch.testing.assert_close(runs[name], dense[name], atol=1e-5, rtol=1e-5, msg=name)


def test_dense_is_the_published_formula(inputs):
    hidden, latents = inputs
    ours, plan = block(), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    got = ours.attn(hidden, ours.attn.media_keys(latents), plan, "dense")
    query = ours.attn.to_q(ours.attn.norm(hidden)).view(3, 10, 2, 4) * 4**-0.5
    key, value = (x.view(IMAGES, 3, 2, 4) for x in ours.attn.to_kv(latents).chunk(2, -1))
    for row in range(3):
        for token in range(10):
            image = int(INDEX[row, token])
            expected = torch.zeros(16)
            if image >= 0:
                weights = torch.einsum("hk,lhk->hl", query[row, token], key[image]).softmax(-1)
                expected = ours.attn.to_out(torch.einsum("hl,lhk->hk", weights, value[image]).flatten())
            torch.testing.assert_close(got[row, token], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", ["runs", "dense"])
def test_a_token_depends_on_its_own_image_only(inputs, backend):
    hidden, latents = inputs
    ours, plan = block(), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    before = ours(hidden, ours.attn.media_keys(latents), plan, backend)
    for image in range(IMAGES):
        changed = latents.clone()
        changed[image] += 1
        after = ours(hidden, ours.attn.media_keys(changed), plan, backend)
        assert torch.equal((before != after).any(-1), image == INDEX)


@pytest.mark.parametrize("backend", ["runs", "dense"])
def test_documents_without_images_and_padding_pass_untouched(inputs, backend):
    hidden, latents = inputs
    ours, plan = block(), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    after = ours(hidden, ours.attn.media_keys(latents), plan, backend)
    untouched = (after == hidden).all(-1)
    expected = torch.tensor([[False] * 7 + [True] * 3, [False] * 10, [True] * 10])
    assert torch.equal(untouched, expected)


def test_text_before_the_first_image_takes_the_feed_forward_only(inputs):
    hidden, latents = inputs
    ours, plan = block(), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    after = ours(hidden, ours.attn.media_keys(latents), plan)
    expected = hidden[0, :2] + ours.ff(hidden[0, :2]) * ours.ff_gate.tanh()
    torch.testing.assert_close(after[0, :2], expected)


def test_closed_gates_are_the_identity(inputs):
    hidden, latents = inputs
    ours, plan = block(gate=0.0), plan_media(INDEX, DOCUMENTS, num_images=IMAGES)
    assert torch.equal(ours(hidden, ours.attn.media_keys(latents), plan), hidden)


def test_a_batch_without_images_has_an_empty_plan():
    plan = plan_media(torch.full((2, 4), -1), torch.zeros(2, 4, dtype=torch.int32), num_images=0)
    assert plan.is_empty
    assert plan.longest_run == 0


def test_an_index_beyond_the_images_is_an_error():
    with pytest.raises(ValueError, match="goes up to 4, but the batch has 4 images"):
        plan_media(INDEX, DOCUMENTS, num_images=4)


def test_documents_with_images_are_found_per_row():
    expected = torch.tensor([[True] * 7 + [False] * 3, [True] * 10, [False] * 10])
    assert torch.equal(documents_with_images(INDEX, DOCUMENTS), expected)


def test_published_sizes_have_the_published_number_of_parameters():
    with torch.device("meta"):
        ours = GatedCrossAttentionBlock(4096, 1024)
    assert sum(p.numel() for p in ours.parameters()) == 139_476_994  # INFIMM.md 1.0
