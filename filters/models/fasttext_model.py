"""fastText models (Joulin et al. 2016), each loaded once per process."""

from __future__ import annotations

import functools
from typing import Any

from infimm_data.errors import ConfigError

LABEL = "__label__"  # fastText's own default prefix


@functools.lru_cache(maxsize=4)
def load_fasttext(path: str) -> Any:
    """Return the fastText model at `path`, a local file; raises ConfigError when it is none."""
    import fasttext  # compiled; loaded only where a model is asked

    try:
        return fasttext.load_model(path)
    except ValueError as error:
        raise ConfigError(f"{path}: no fastText model ({error}); expected a .bin or .ftz file") from None
