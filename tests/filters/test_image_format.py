from __future__ import annotations

import numpy as np
import pytest

from filters.image_format import FORMATS, ImageFormat
from infimm_data.errors import ConfigError


def test_the_default_keeps_all_but_gif() -> None:
    (rule,) = ImageFormat().rules()
    assert rule.passes(np.array(FORMATS, dtype=object)).tolist() == [True, True, True, False]


def test_keeping_nothing_is_allowed_and_keeps_nothing() -> None:
    (rule,) = ImageFormat(keep=()).rules()
    assert not rule.passes(np.array(FORMATS, dtype=object)).any()


def test_an_unknown_format_is_a_config_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown format 'jpg'\. Did you mean 'jpeg'"):
        ImageFormat(keep=("jpg",))
