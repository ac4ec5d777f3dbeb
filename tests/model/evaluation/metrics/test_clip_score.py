"""CLIPScore's formula on vectors whose cosines are known."""

import numpy as np
import pytest

from model.evaluation.metrics.clip_score import clip_score, ref_clip_score

IMAGES = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
CAPTIONS = np.array([[3.0, 4.0], [-1.0, 0.0], [1.0, 0.0]])


def test_cosines_below_zero_count_as_zero():
    assert clip_score(IMAGES, CAPTIONS) == pytest.approx([2.5 * 0.6, 0, 0])


def test_references_enter_by_the_harmonic_mean_with_the_best():
    references = [np.array([[0.0, 1.0], [-1.0, 0.0]])] * 3
    found = ref_clip_score(IMAGES, CAPTIONS, references)
    assert found == pytest.approx([2 * 1.5 * 0.8 / 2.3, 0, 0])
