"""The resampler."""

import pytest
import torch

from model.perceiver import PerceiverResampler


@pytest.fixture
def resampler():
    torch.manual_seed(0)
    return PerceiverResampler(12, layers=2, latents=5, heads=2, head_width=4, ff_multiple=2)


def test_any_number_of_tokens_becomes_the_same_number_of_latents(resampler):
    assert resampler(torch.randn(3, 7, 12)).shape == (3, 5, 12)
    assert resampler(torch.randn(1, 1, 12)).shape == (1, 5, 12)
    assert resampler(torch.randn(0, 7, 12)).shape == (0, 5, 12)


def test_images_do_not_see_each_other(resampler):
    media = torch.randn(3, 7, 12)
    changed = media.clone()
    changed[1] *= -1
    before, after = resampler(media), resampler(changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1], after[1])


def test_every_token_of_the_image_counts(resampler):
    media = torch.randn(1, 7, 12, requires_grad=True)
    resampler(media).square().sum().backward()
    assert (media.grad.abs().sum(-1) > 0).all()


def test_published_sizes_have_the_published_number_of_parameters():
    with torch.device("meta"):
        resampler = PerceiverResampler(1024)
    assert sum(p.numel() for p in resampler.parameters()) == 63_019_008  # INFIMM.md 1.0


def test_a_wrong_number_of_axes_is_refused(resampler):
    with pytest.raises(Exception, match="N P V"):
        resampler(torch.randn(7, 12))
