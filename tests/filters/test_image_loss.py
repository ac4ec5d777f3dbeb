from __future__ import annotations

import numpy as np
import pytest

from filters.image_loss import ImageLoss
from infimm_data.errors import ConfigError


def test_a_document_that_lost_no_image_stays_one_without_images_as_well() -> None:
    (rule,) = ImageLoss().rules()
    assert rule.passes(np.array([0, 1, 2])).tolist() == [True, False, False]
    assert (rule.measure, rule.reason) == ("images_lost", "images_lost")


def test_the_bound_is_inclusive_and_none_is_off() -> None:
    (rule,) = ImageLoss(max_lost=1).rules()
    assert rule.passes(np.array([0, 1, 2])).tolist() == [True, True, False]
    assert ImageLoss(max_lost=None).rules() == ()


def test_a_bound_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_lost is not a number"):
        ImageLoss(max_lost=float("nan"))  # type: ignore[arg-type]
