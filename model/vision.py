"""The vision tower: an open_clip image encoder, frozen, into un-normed tokens of its last block, CLS included.

As InfiMM takes them (INFIMM.md 1.2): all tokens after the last block, without the final norm and the CLIP head.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import LOCAL_DIR_PREFIX, resolve
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import VisionSettings

log = logging.getLogger(__name__)

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # INFIMM.md 2.1


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

    image_side: H and W of its input in pixels; width: V of its tokens; about: what `model.published` can build it from
    again, None for a tower of one's own.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        *,
        image_side: int,
        width: int,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """encoder: [N, 3, H, W] floats -> [N, P, V]; mean, std: of channels scaled to 0..1."""
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.image_side, self.width, self.about = image_side, width, about
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> VisionTower:
        """Stay in evaluation mode: the tower never trains."""
        del mode
        return self

    @torch.no_grad()
    def forward(self, images_NCHW: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N P V"]:
        """Return the tokens of each image: uint8 is scaled and normalised, floats are taken as normalised."""
        if images_NCHW.dtype == torch.uint8:
            images_NCHW = (images_NCHW.float() / 255 - self.mean) / self.std
        return cast(Tensor, self.encoder(images_NCHW.to(next(self.encoder.parameters()).dtype)))

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
            name,
            pretrained=settings.pretrained and resolve(settings.pretrained),
            pretrained_image=False,
            device=torch.get_default_device(),  # so that a tower can be built on "meta", without memory
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"vision tower '{settings.name}': {str(error).splitlines()[0]}") from None
    normal = open_clip.get_model_preprocess_cfg(model)
    sizes = _sizes(name)
    about = {"open_clip": sizes} if sizes else None
    return tower_of(model.visual, settings.name, mean=normal["mean"], std=normal["std"], about=about)


def tower_of(
    visual: nn.Module,
    name: str,
    *,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
    about: Mapping[str, Any] | None = None,
) -> VisionTower:
    """Return the tower around `visual` of an open_clip model; raises ConfigError, with `name`, when it is no ViT."""
    found = cast(Any, visual)
    width = getattr(getattr(found, "trunk", None), "num_features", None)  # a timm trunk, else open_clip's own
    if width is None and not hasattr(found, "transformer"):
        raise ConfigError(f"vision tower '{name}': {type(visual).__name__}, expected a vision transformer")
    height, side = found.image_size
    if height != side:
        raise ConfigError(f"vision tower '{name}': {height} x {side} pixels, expected a square input")
    width = found.transformer.width if width is None else width
    return VisionTower(ClipTokens(visual), image_side=side, width=width, mean=mean, std=std, about=about)


def _sizes(name: str) -> dict[str, Any] | None:
    """Return the sizes of an open_clip model by its name, as open_clip's own config files hold them."""
    import open_clip  # heavy: only where a tower is needed

    if not name.startswith(LOCAL_DIR_PREFIX):
        found: dict[str, Any] | None = open_clip.get_model_config(name)
        return found
    file = Path(name.removeprefix(LOCAL_DIR_PREFIX)) / "open_clip_config.json"
    sizes: dict[str, Any] = json.loads(file.read_text())["model_cfg"]
    return sizes
