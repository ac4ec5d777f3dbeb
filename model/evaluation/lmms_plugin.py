"""The entry point by which lmms-eval finds our model: `lmms_eval --model infimm --model_args pretrained=RUN`."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Return lmms-eval's ModelManifest of `model.evaluation.lmms_model.InfiMMChat`."""
    from infimm_data.torchvision_ops import declare_torchvision_ops

    declare_torchvision_ops()
    from lmms_eval.models.registry_v2 import ModelManifest  # lmms-eval calls us, so it is there

    return ModelManifest(model_id="infimm", chat_class_path="model.evaluation.lmms_model.InfiMMChat")
