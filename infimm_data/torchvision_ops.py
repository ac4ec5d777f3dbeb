"""Makes `import torchvision` work beside a torch it was not compiled for; call before importing open_clip or timm.

Reason: the package index serves torchvision built for CUDA. Beside a CPU build of torch its compiled operators do
not load, and its import dies with "operator torchvision::nms does not exist", though nothing here uses them.
Declaring their schemas is enough. Remove this file once the index serves a torchvision that imports beside the CPU
torch of the same release (`python -c "import torchvision"` succeeds in a fresh environment).
"""

from __future__ import annotations

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_torchvision_ops() -> None:
    """Declare torchvision's operators where they do not load; does nothing where they do.

    Raises whatever else is wrong with torchvision's import. Calling an operator so declared raises
    NotImplementedError, so nothing can silently compute with it.
    """
    try:
        import torchvision  # noqa: F401 -- whether it can be imported is the question
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", _SCHEMA)
