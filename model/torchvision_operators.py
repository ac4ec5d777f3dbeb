"""Makes torchvision importable where its compiled operators are those of another torch.

The package index serves torchvision as a CUDA build; beside a CPU torch its operators do not load, and importing it
fails with "operator torchvision::nms does not exist". open_clip, timm and transformers need only its Python parts,
so declaring the two schemas before the import is enough. Remove this file once pip installs a torchvision that
imports beside a CPU torch. Where the operators load, it does nothing.
"""

from __future__ import annotations

import functools
import importlib

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def declare() -> torch.library.Library | None:
    """Import torchvision, declaring the schemas it lacks; call it before importing what imports torchvision."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        # The schemas live as long as the library, which the cache of this function holds; torch has no types here.
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
        return library
    return None
