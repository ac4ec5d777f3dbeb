"""The vision tower of a published config: timm's EVA from EVA-CLIP's fields (INFIMM.md 1.2), or an open_clip ViT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from infimm_data.errors import ConfigError
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.vision import CLIP_MEAN, CLIP_STD, VisionTower, tower_of

_NEEDED = ("image_size", "layers", "width", "patch_size")
_DEFAULTS: dict[str, Any] = {
    "head_width": 64,
    "mlp_ratio": 4.0,
    "embed_dim": 1024,
    "qkv_bias": True,
    "ls_init_value": None,
    "global_average_pool": False,
    "rope": False,
    "pt_hw_seq_len": 16,
    "intp_freq": False,
    "naiveswiglu": False,
    "subln": False,
    "postnorm": False,
}
"""EVA-CLIP's own defaults for what a config leaves out."""


class EvaTokens(nn.Module):
    """The tokens of timm's EVA, CLS first."""

    def __init__(self, trunk: nn.Module) -> None:
        """trunk: a timm Eva."""
        super().__init__()
        self.trunk = trunk

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return [N, P, V], the tokens after the last block, without the final norm."""
        trunk: Any = self.trunk
        ((patches, prefix),) = trunk.forward_intermediates(
            images_NCHW, indices=1, norm=False, return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
        )
        return torch.cat([prefix, patches], dim=1)


def build_vision(visual: Mapping[str, Any]) -> VisionTower:
    """Return the tower of the `visual` entry, with random weights; raises ConfigError for what it lacks."""
    if "open_clip" in visual:
        return _open_clip(visual)
    missing = [key for key in _NEEDED if key not in visual]
    if missing:
        raise ConfigError(f"config.json: visual has no '{missing[0]}'; expected {', '.join(_NEEDED)}")
    full = {**_DEFAULTS, **visual}
    if full["naiveswiglu"] and not full["subln"]:
        raise ConfigError("config.json: visual has naiveswiglu without subln; no published tower is so, expected both")
    side, width = full["image_size"], full["width"]
    if width % full["head_width"]:
        raise ConfigError(f"config.json: visual is {width} wide, which heads of {full['head_width']} do not fill")
    try:
        trunk = _eva(full)
    except (AssertionError, ArithmeticError, TypeError, ValueError, RuntimeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"config.json: visual: no such tower ({problem})") from None
    return VisionTower(EvaTokens(trunk), image_side=side, width=width, about=dict(visual), **_normal(visual))


def _eva(full: Mapping[str, Any]) -> nn.Module:
    declare_torchvision_ops()
    from timm.models.eva import Eva  # heavy: only for the published layout

    grid = (full["pt_hw_seq_len"],) * 2
    trunk: nn.Module = Eva(
        img_size=full["image_size"],
        patch_size=full["patch_size"],
        embed_dim=full["width"],
        depth=full["layers"],
        num_heads=full["width"] // full["head_width"],
        mlp_ratio=full["mlp_ratio"],
        qkv_bias=full["qkv_bias"],
        qkv_fused=not full["subln"],
        swiglu_mlp=full["naiveswiglu"],
        scale_mlp=full["subln"],
        scale_attn_inner=full["subln"],
        init_values=full["ls_init_value"],
        use_post_norm=full["postnorm"],
        use_rot_pos_emb=full["rope"],
        ref_feat_shape=grid if full["rope"] and full["intp_freq"] else None,
        num_classes=full["embed_dim"],
        global_pool="avg" if full["global_average_pool"] else "token",
    )
    return trunk


def _open_clip(visual: Mapping[str, Any]) -> VisionTower:
    declare_torchvision_ops()
    import open_clip  # heavy: only where a tower is needed

    sizes = dict(visual["open_clip"])
    kind = open_clip.CustomTextCLIP if sizes.pop("custom_text", False) else open_clip.CLIP
    try:
        model = kind(**sizes)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"config.json: visual.open_clip: {str(error).splitlines()[0]}") from None
    return tower_of(model.visual, "visual.open_clip", about=dict(visual), **_normal(visual))


def _normal(visual: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": visual.get("image_mean", CLIP_MEAN), "std": visual.get("image_std", CLIP_STD)}


def visual_of(tower: VisionTower) -> dict[str, Any] | None:
    """Return the `visual` entry that builds a tower; None for one of its owner's making.

    An EVA by open_clip's name is described by EVA-CLIP's fields, so that the published code reads it too.
    """
    trunk = getattr(getattr(tower.encoder, "visual", None), "trunk", None)
    if trunk is not None and type(trunk).__name__ == "Eva":
        visual = _eva_fields(trunk)
    elif tower.about is None:
        return None
    else:
        visual = dict(tower.about)
    own = {"image_mean": tower.mean, "image_std": tower.std}
    usual = {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    for key, values in own.items():
        if not values.is_meta and not torch.allclose(values.flatten().float().cpu(), torch.tensor(usual[key])):
            visual[key] = values.flatten().tolist()
    return visual


def _eva_fields(trunk: nn.Module) -> dict[str, Any]:
    eva = cast(Any, trunk)
    block = eva.blocks[0]
    has_swiglu, is_fused = hasattr(block.mlp, "fc1_g"), block.attn.qkv is not None
    hidden = (block.mlp.fc1_g if has_swiglu else block.mlp.fc1).out_features
    grid = getattr(eva.rope, "ref_feat_shape", None)
    return {
        "image_size": eva.patch_embed.img_size[0],
        "patch_size": eva.patch_embed.patch_size[0],
        "layers": len(eva.blocks),
        "width": eva.embed_dim,
        "head_width": block.attn.head_dim,
        "mlp_ratio": (hidden + 0.5) / eva.embed_dim,  # whoever truncates width * ratio gets the hidden width
        "embed_dim": eva.head.out_features,
        "qkv_bias": (block.attn.q_bias if is_fused else block.attn.q_proj.bias) is not None,
        "global_average_pool": eva.global_pool == "avg",
        "rope": eva.rope is not None,
        "pt_hw_seq_len": grid[0] if grid else eva.patch_embed.grid_size[0],
        "intp_freq": grid is not None,
        "naiveswiglu": has_swiglu,
        "subln": not is_fused,
        "postnorm": type(block).__name__ == "EvaBlockPostNorm",
    }


def rotary_of(tower: VisionTower, kind: str) -> Tensor | None:
    """Return the "cos" or "sin" of a tower's rotary positions, [patches, head width]; None without them."""
    trunk = getattr(tower.encoder, "trunk", None)
    if trunk is None or trunk.rope is None:
        return None
    sin, cos = trunk.rope.get_embed().chunk(2, dim=-1)
    return cast(Tensor, cos if kind == "cos" else sin)
