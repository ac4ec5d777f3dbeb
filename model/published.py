"""Loads a model in the published layout: config.json and safetensors with the names of INFIMM.md 1.5.

The rule from their names to ours: drop `model.`; `lang_encoder` is `language`; a decoder layer loses its wrapper;
the gated block of layer i is `cross_attention.i`. Two families of names are second names of the same weights, and
are checked to agree. The vision tower is timm's EVA, whose own converter takes the published names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from infimm_data.errors import ConfigError
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.config import CrossAttentionSettings, LanguageSettings
from model.infimm import InfiMM
from model.language import load_language
from model.perceiver import PerceiverResampler
from model.vision import VisionTower

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # INFIMM.md 2.1

_VISION = "model.vision_encoder."
_RULES = (
    (re.compile(r"^model\.lang_encoder\.old_decoder_blocks\.(\d+)\."), r"language.model.layers.\1."),
    (re.compile(r"^model\.lang_encoder\.gated_cross_attn_layers\.(\d+)\."), r"cross_attention.\1."),
    (re.compile(r"^model\.lang_encoder\.model\.layers\.(\d+)\.decoder_layer\."), r"language.model.layers.\1."),
    (re.compile(r"^model\.lang_encoder\.model\.layers\.(\d+)\.gated_cross_attn_layer\."), r"cross_attention.\1."),
    (re.compile(r"^model\.lang_encoder\."), "language."),
    (re.compile(r"^model\."), ""),
)


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


def our_name(published: str) -> str:
    """Return the name in our model of a published weight outside the vision tower."""
    for pattern, name in _RULES:
        if pattern.match(published):
            return pattern.sub(name, published)
    raise ConfigError(f"weight '{published}': expected a name that starts with 'model.'")


def load_published(folder: str) -> InfiMM:
    """Return the model in evaluation mode, fp32, on the CPU.

    folder: holds config.json and one or more *.safetensors with published names. Raises ConfigError naming the
    weight that is missing, extra, of another shape, or different under its second name.
    """
    about = json.loads((Path(folder) / "config.json").read_text())
    weights: dict[str, Tensor] = {}
    try:
        for path in sorted(Path(folder).glob("*.safetensors")):
            weights |= {name: tensor for name, tensor in load_file(path).items() if name.startswith("model.")}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{folder}: weights cannot be read ({error})") from None
    model = _build(about)
    named: dict[str, Tensor] = {}
    for published, tensor in weights.items():
        if published.startswith(_VISION):
            continue
        name = our_name(published)
        if name in named and not torch.equal(named[name], tensor):
            raise ConfigError(f"{folder}: '{published}' differs from the same weight under its other name")
        named[name] = tensor
    vision = {name.removeprefix(_VISION): tensor for name, tensor in weights.items() if name.startswith(_VISION)}
    named |= {f"vision.encoder.trunk.{name}": tensor for name, tensor in _eva_names(model, vision).items()}
    try:
        model.load_state_dict(named)
    except RuntimeError as error:
        raise ConfigError(f"{folder}: {' '.join(str(error).split())[:300]}") from None
    return model.eval()


def _build(about: dict[str, Any]) -> InfiMM:
    visual, language = about["visual"], about["language"]
    lm = load_language(
        LanguageSettings(config={"model_type": "mistral", **language, "tie_word_embeddings": False}),
        vocabulary=language["vocab_size"],
    )
    settings = CrossAttentionSettings(every=about["cross_attn_every_n_layers"])
    perceiver = PerceiverResampler(visual["width"])
    return InfiMM(_eva(visual), perceiver, lm, settings, media_width=visual["width"])


def _eva(visual: dict[str, Any]) -> VisionTower:
    declare_torchvision_ops()
    from timm.models.eva import Eva  # heavy: only for the published layout

    trunk = Eva(
        img_size=visual["image_size"],
        patch_size=visual["patch_size"],
        embed_dim=visual["width"],
        depth=visual["layers"],
        num_heads=visual["width"] // visual["head_width"],
        mlp_ratio=visual["mlp_ratio"],
        qkv_fused=False,
        swiglu_mlp=visual["naiveswiglu"],
        scale_mlp=visual["subln"],
        scale_attn_inner=visual["subln"],
        use_rot_pos_emb=visual["rope"],
        ref_feat_shape=(visual["pt_hw_seq_len"], visual["pt_hw_seq_len"]) if visual["intp_freq"] else None,
        num_classes=visual["embed_dim"],
        global_pool="token",
    )
    side, width = visual["image_size"], visual["width"]
    return VisionTower(EvaTokens(trunk), image_side=side, width=width, mean=CLIP_MEAN, std=CLIP_STD)


def _eva_names(model: InfiMM, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    from timm.models.eva import checkpoint_filter_fn  # heavy: only for the published layout

    tower: Any = model.vision
    converted: dict[str, Tensor] = checkpoint_filter_fn(weights, tower.encoder.trunk)
    return converted
