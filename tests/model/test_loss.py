"""The loss: in chunks it is the same to 1e-6 and keeps a fraction of the memory; weights and sources add up."""

import pytest
import torch

from model.loss import loss_sums, shifted

TOKENS, WIDTH, WORDS = 96, 16, 500


@pytest.fixture
def head():
    torch.manual_seed(1)
    return torch.nn.Linear(WIDTH, WORDS, bias=False)


@pytest.fixture
def given():
    torch.manual_seed(2)
    labels = torch.randint(0, WORDS, (2, TOKENS // 2))
    labels[torch.rand(labels.shape) < 0.3] = -100
    return torch.randn(TOKENS, WIDTH, requires_grad=True), labels


def gradients(total, hidden, head):
    return torch.autograd.grad(total, [hidden, head.weight])


def bytes_kept(run) -> int:
    """Bytes of the tensors that autograd keeps for backward."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("chunk", [1, 7, 32, 95, 96, 1000])
def test_in_chunks_loss_and_gradients_are_the_same(head, given, chunk):
    hidden, labels = given
    terms = shifted(labels)
    whole = loss_sums(hidden, head, terms, chunk_tokens=None)
    parts = loss_sums(hidden, head, terms, chunk_tokens=chunk)
    assert float(parts.total.detach()) == pytest.approx(float(whole.total.detach()), rel=1e-6)
    for one, other in zip(gradients(whole.total, hidden, head), gradients(parts.total, hidden, head), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_in_chunks_backward_keeps_no_scores(head, given):
    hidden, labels = given
    terms = shifted(labels)
    whole = bytes_kept(lambda: loss_sums(hidden, head, terms, chunk_tokens=None))
    parts = bytes_kept(lambda: loss_sums(hidden, head, terms, chunk_tokens=8))
    scores = TOKENS * WORDS * 4
    assert whole > scores
    assert parts < scores / 4


def test_a_label_is_predicted_by_the_token_before_it_in_its_row():
    labels = torch.tensor([[5, 6, 7], [8, 9, -100]])
    assert shifted(labels).targets.tolist() == [6, 7, -100, 9, -100, -100]
    terms = shifted(labels, torch.tensor([[0.0, 1, 2], [3, 4, 5]]), torch.tensor([[0, 0, 1], [1, 1, -1]]))
    assert terms.weights.tolist() == [1, 2, 0, 4, 5, 0]
    assert terms.sources.tolist() == [0, 1, -1, 1, -1, -1]


def test_without_any_target_the_loss_is_zero_and_so_are_its_gradients(head):
    hidden = torch.randn(8, WIDTH, requires_grad=True)
    for chunk in (None, 3):
        sums = loss_sums(hidden, head, shifted(torch.full((2, 4), -100)), chunk_tokens=chunk)
        assert float(sums.total.detach()) == 0
        assert all(bool((one == 0).all()) for one in gradients(sums.weighted, hidden, head))


@pytest.mark.parametrize("chunk", [None, 10])
def test_each_source_gets_its_own_sum_and_a_weight_scales_its_part(head, given, chunk):
    hidden, labels = given
    sources = torch.randint(0, 3, labels.shape)
    weights = torch.tensor([1.0, 0.2, 0.0])[sources]
    sums = loss_sums(hidden, head, shifted(labels, weights, sources, num_sources=4), chunk_tokens=chunk)
    alone = [
        float(
            loss_sums(hidden, head, shifted(labels.masked_fill(sources != i, -100)), chunk_tokens=None).total.detach()
        )
        for i in range(3)
    ]
    assert sums.by_source.tolist() == pytest.approx([*alone, 0.0], rel=1e-5)
    assert float(sums.total.detach()) == pytest.approx(sum(alone), rel=1e-5)
    assert float(sums.weighted.detach()) == pytest.approx(alone[0] + 0.2 * alone[1], rel=1e-5)
