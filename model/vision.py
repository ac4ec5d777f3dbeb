"""The vision tower: an open_clip image encoder, frozen, into un-normed tokens of its last block, CLS included.

As InfiMM takes them (INFIMM.md 1.2): all tokens after the last block, without the final norm and the CLIP head.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import LOCAL_DIR_PREFIX, resolve
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import VisionSettings

log = logging.getLogger(__name__)


class ClipTokens(nn.Module):
    """The tokens of an open_clip image encoder: its own VisionTransformer, or a timm trunk."""

    def __init__(self, visual: nn.Module) -> None:
        """visual: `visual` of an open_clip model."""
        super().__init__()
        self.visual = visual

    def forward(self, images_NCHW: Float[Tensor, "N C H W"]) -> Float[Tensor, "N P V"]:
        """Return prefix and patch tokens of the last block."""
        out = cast(Any, self.visual).forward_intermediates(
            images_NCHW,
            indices=1,
            normalize_intermediates=False,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        return torch.cat([out["image_intermediates_prefix"][-1], out["image_intermediates"][-1]], dim=1)


class VisionTower(nn.Module):
    """Normalises pixels and runs a frozen encoder on them.

    image_side: H and W of its input in pixels; width: V of its tokens.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, encoder: nn.Module, *, image_side: int, width: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """encoder: [N, 3, H, W] floats -> [N, P, V]; mean, std: of channels scaled to 0..1."""
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.image_side, self.width = image_side, width
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> VisionTower:
        """Stay in evaluation mode: the tower never trains."""
        del mode
        return self

    @torch.no_grad()
    def forward(self, images_NCHW: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N P V"]:
        """Return the tokens of each image: uint8 is scaled and normalised, floats are taken as they are."""
        if images_NCHW.dtype == torch.uint8:
            images_NCHW = (images_NCHW.to(self.mean.dtype) / 255 - self.mean) / self.std
        return cast(Tensor, self.encoder(images_NCHW))

    def fingerprint(self) -> str:
        """Return 16 hex digits over the weights: a checkpoint without the tower names which one it needs."""
        digest = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def load_vision(settings: VisionSettings) -> VisionTower:
    """Return the tower; raises ConfigError when there is no such model, folder or weights."""
    declare_torchvision_ops()
    import open_clip  # heavy: only where a tower is needed

    name = resolve(settings.name)
    if not name.startswith(LOCAL_DIR_PREFIX) and name not in open_clip.list_models():
        raise ConfigError(f"vision tower '{name}': not in open_clip.{did_you_mean(name, open_clip.list_models())}")
    if not name.startswith(LOCAL_DIR_PREFIX) and settings.pretrained is None:
        log.warning("vision=%s has random weights: set model.vision.pretrained", name)
    try:
        model = open_clip.create_model(
            name, pretrained=settings.pretrained and resolve(settings.pretrained), pretrained_image=False
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"vision tower '{settings.name}': {str(error).splitlines()[0]}") from None
    height, width = model.visual.image_size
    if height != width:
        raise ConfigError(f"vision tower '{settings.name}': {height} x {width} pixels, expected a square input")
    encoder, normal = ClipTokens(model.visual), open_clip.get_model_preprocess_cfg(model)
    with torch.no_grad():
        num_channels = encoder(torch.zeros(1, 3, height, width)).shape[-1]
    return VisionTower(encoder, image_side=height, width=num_channels, mean=normal["mean"], std=normal["std"])
