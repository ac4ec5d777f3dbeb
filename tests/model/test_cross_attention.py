"""The gated block: all back-ends are equal, and a token sees its own image only."""

import pytest
import torch

from model.attention_backends import choose, prepare
from model.cross_attention import GatedCrossAttentionBlock
from model.media import plan_media
from model.semantics import documents_with_images

INDEX = torch.tensor(
    [[-1, -1, 0, 0, 0, 1, 1, -1, -1, -1], [2, 2, 2, 2, 2, 2, 2, -1, 4, 4], [-1] * 10], dtype=torch.int32
)
DOCUMENTS = torch.tensor([[0] * 7 + [1, 1, -1], [0] * 7 + [1] * 3, [0] * 8 + [-1] * 2], dtype=torch.int32)
IMAGES = 5  # image 3 is seen by no token


def block(gate: float = 0.7) -> GatedCrossAttentionBlock:
    torch.manual_seed(1)
    return GatedCrossAttentionBlock(16, 12, heads=2, head_width=4, ff_multiple=2, gate_start=gate)


def the_plan():
    return plan_media(INDEX, documents_with_images(INDEX, DOCUMENTS), num_images=IMAGES)


def attention(ours, hidden, latents, backend: str):
    keys, plan = ours.attn.media_keys(latents), the_plan()
    return ours.attn(hidden, keys, plan, prepare(backend, plan, keys[0]))


def apply(ours, hidden, latents, backend: str = "auto"):
    keys, plan = ours.attn.media_keys(latents), the_plan()
    return ours(hidden, keys, plan, prepare(backend, plan, keys[0]))


def outputs(backend: str, hidden, latents):
    ours = block().to(hidden.device)
    hidden, latents = hidden.clone().requires_grad_(), latents.clone().requires_grad_()
    out = apply(ours, hidden, latents, backend)
    (out * torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)).sum().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    return {"out": out, "hidden": hidden.grad, "latents": latents.grad, **gradients}


def by_loop(query, key, value, bounds, key_bounds, longest, longest_key):
    """What varlen_attn computes, one sequence after the other."""
    found = []
    for i in range(len(bounds) - 1):
        q, k, v = (x[a[i] : a[i + 1]] for x, a in ((query, bounds), (key, key_bounds), (value, key_bounds)))
        assert len(q) <= longest
        assert len(k) <= longest_key
        shares = torch.einsum("qhk,shk->hqs", q * q.shape[-1] ** -0.5, k).softmax(-1)
        found.append(torch.einsum("hqs,shk->qhk", shares, v))
    return torch.cat(found)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 10, 16, generator=generator), torch.randn(IMAGES, 3, 12, generator=generator)


@pytest.mark.parametrize("backend", ["sdpa", "runs"])
def test_back_ends_are_the_reference_in_outputs_and_gradients(inputs, backend):
    found, dense = outputs(backend, *inputs), outputs("dense", *inputs)
    assert found.keys() == dense.keys()
    for name in found:
        torch.testing.assert_close(found[name], dense[name], atol=1e-5, rtol=1e-5, msg=name)


def test_varlen_hands_its_kernel_the_right_sequences(inputs, monkeypatch):
    import torch.nn.attention.varlen

    from model.attention_backends import BACKENDS

    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", by_loop)
    monkeypatch.setattr("model.attention_backends._has_varlen", lambda key: True)
    assert "varlen" in BACKENDS
    found, dense = outputs("varlen", *inputs), outputs("dense", *inputs)
    for name in found:
        torch.testing.assert_close(found[name], dense[name], atol=1e-5, rtol=1e-5, msg=name)


def test_varlen_without_a_gpu_is_one_clear_line(inputs):
    with pytest.raises(ValueError, match=r"varlen: torch.float32, heads of 4, cpu; expected CUDA"):
        apply(block(), *inputs, "varlen")


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")  # that is what a CPU can do
def test_flex_is_the_reference_in_outputs(inputs):
    with torch.no_grad():
        torch.testing.assert_close(apply(block(), *inputs, "flex"), apply(block(), *inputs, "dense"))


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["sdpa", "runs", "varlen", "flex"])
def test_on_a_gpu_back_ends_are_the_reference_in_outputs_and_gradients(backend):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator("cuda").manual_seed(2)
    sizes, dtype = {"heads": 2, "head_width": 32, "ff_multiple": 2}, torch.bfloat16
    torch.manual_seed(1)
    ours = GatedCrossAttentionBlock(64, 48, **sizes, gate_start=0.7).to("cuda", dtype)
    index, documents = INDEX.cuda(), DOCUMENTS.cuda()
    plan = plan_media(index, documents_with_images(index, documents), num_images=IMAGES)
    hidden = torch.randn(3, 10, 64, generator=generator, device="cuda", dtype=dtype)
    latents = torch.randn(IMAGES, 16, 48, generator=generator, device="cuda", dtype=dtype)
    found = {}
    for name in (backend, "dense"):
        ours.zero_grad(set_to_none=True)
        given = hidden.clone().requires_grad_(), latents.clone().requires_grad_()
        keys = ours.attn.media_keys(given[1])
        out = ours(given[0], keys, plan, prepare(name, plan, keys[0]))
        out.float().square().mean().backward()
        found[name] = [out, *(x.grad for x in given), *(p.grad for p in ours.parameters())]
    for one, other in zip(*found.values(), strict=True):
        error = (one.float() - other.float()).norm() / other.float().norm().clamp(min=1e-6)
        assert error < 2e-2  # bf16 keeps 3 digits


def test_auto_takes_runs_on_a_cpu():
    assert choose(torch.zeros(1, 2, 3, 64)) == "runs"


def test_dense_is_the_published_formula(inputs):
    hidden, latents = inputs
    ours = block()
    got = attention(ours, hidden, latents, "dense")
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


@pytest.mark.parametrize("backend", ["dense", "sdpa", "runs"])
def test_a_token_depends_on_its_own_image_only(inputs, backend):
    hidden, latents = inputs
    ours = block()
    before = apply(ours, hidden, latents, backend)
    for image in range(IMAGES):
        changed = latents.clone()
        changed[image] += 1
        after = apply(ours, hidden, changed, backend)
        assert torch.equal((before != after).any(-1), image == INDEX)


@pytest.mark.parametrize("backend", ["dense", "sdpa", "runs"])
def test_documents_without_images_and_padding_pass_untouched(inputs, backend):
    hidden, latents = inputs
    ours = block()
    after = apply(ours, hidden, latents, backend)
    untouched = (after == hidden).all(-1)
    expected = torch.tensor([[False] * 7 + [True] * 3, [False] * 10, [True] * 10])
    assert torch.equal(untouched, expected)


def test_text_before_the_first_image_takes_the_feed_forward_only(inputs):
    hidden, latents = inputs
    ours = block()
    after = apply(ours, hidden, latents)
    expected = hidden[0, :2] + ours.ff(hidden[0, :2]) * ours.ff_gate.tanh()
    torch.testing.assert_close(after[0, :2], expected)


def test_closed_gates_are_the_identity(inputs):
    hidden, latents = inputs
    ours = block(gate=0.0)
    assert torch.equal(apply(ours, hidden, latents), hidden)


def test_a_batch_without_images_has_an_empty_plan():
    plan = plan_media(torch.full((2, 4), -1), torch.zeros(2, 4, dtype=torch.bool), num_images=0)
    assert plan.is_empty
    assert plan.longest_run == 0


@pytest.mark.parametrize("runs", [[4, 4, 4], [1], [100, 1, 1, 1], [7, 0, 3, 2], [1] * 9])
def test_chunks_take_at_most_twice_the_slots_of_the_tokens_however_uneven_the_runs(runs):
    index = torch.repeat_interleave(torch.arange(len(runs)), torch.tensor(runs))[None]
    chunks = plan_media(index, index >= 0, num_images=len(runs)).chunks
    assert len(chunks.images) * chunks.length <= 2 * sum(runs)
    assert len(set(zip(chunks.chunk.tolist(), chunks.slot.tolist(), strict=True))) == sum(runs)  # none twice
    assert torch.equal(chunks.images[chunks.chunk], index[0])
    assert chunks.are_images == (len(set(runs)) == 1)


def test_an_index_beyond_the_images_is_an_error():
    with pytest.raises(ValueError, match="goes up to 4, but the batch has 4 images"):
        plan_media(INDEX, INDEX >= 0, num_images=4)


def test_gates_per_channel_scale_each_channel_by_its_own(inputs):
    ours = GatedCrossAttentionBlock(16, 12, heads=2, head_width=4, ff_multiple=1, gate="channel", gate_start=0.7)
    assert ours.attn_gate.shape == ours.ff_gate.shape == (16,)
    assert ours.ff[1].weight.shape == (16, 16)
    with torch.no_grad():
        ours.attn_gate[3], ours.ff_gate[3] = 0.0, 0.0
    moved = apply(ours, *inputs) != inputs[0]
    assert not moved[..., 3].any()
    assert moved[0, 3, [0, 1, 2, 4]].all()


def test_published_sizes_have_the_published_number_of_parameters():
    with torch.device("meta"):
        ours = GatedCrossAttentionBlock(4096, 1024)
    assert sum(p.numel() for p in ours.parameters()) == 139_476_994  # INFIMM.md 1.0
