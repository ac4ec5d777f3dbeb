"""torch.compile in regions: what repeats is compiled once, and what changes its shape with the images stays as it is.

Rows have one shape, so each decoder layer is one graph for all layers and all steps. The vision tower and the
feed-forwards of the blocks take any number of images and tokens: they are compiled for that. The attention between
tokens and images is left alone, as its plan differs with every batch.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, cast

from infimm_data.errors import ConfigError
from model.infimm import InfiMM
from model.language import stack_of


def compile_model(model: InfiMM, *, backend: str = "inductor") -> None:
    """Compile the regions in place, at their first call; names of parameters stay. backend: one of torch.compile's.

    Raises ConfigError when the backend needs a compiler that is not there.
    """
    compilers = (os.environ.get("CXX", "g++"), "clang++")
    if backend == "inductor" and not any(shutil.which(name) for name in compilers):
        raise ConfigError("compile: true needs a C++ compiler (g++, clang++ or $CXX); install one, or set it to false")
    lm = cast(Any, model.language)
    for layer in getattr(lm, stack_of(lm).root).layers:
        layer.compile(backend=backend, dynamic=False)
    for block in cast(Any, model.cross_attention).values():
        block.ff.compile(backend=backend, dynamic=True)
    cast(Any, model.vision).encoder.compile(backend=backend, dynamic=True)
