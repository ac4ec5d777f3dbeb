"""Names of weights in the published layout (INFIMM.md 1.5), from and to the names in our model.

From ours to theirs: `model.` in front; `language` is `lang_encoder`; a decoder layer stands in a wrapper beside the
gated block before it; `vision` is `vision_encoder`, whose EVA calls some layers otherwise than timm.
"""

from __future__ import annotations

import re

VISION, PERCEIVER, LANGUAGE = "model.vision_encoder.", "model.perceiver.", "model.lang_encoder."

BUFFERS = re.compile(r"(\.rope\.freqs_(cos|sin)|\.rotary_emb\.inv_freq)$")
"""Constants that some files hold beside the weights."""

_TIMM_TO_EVA = (
    (re.compile(r"\.mlp\.norm\."), ".mlp.ffn_ln."),
    (re.compile(r"\.attn\.norm\."), ".attn.inner_attn_ln."),
    (re.compile(r"\.attn\.([qv])_proj\.bias$"), r".attn.\1_bias"),
)
_TIMM_TO_EVA_SWIGLU = (
    (re.compile(r"\.mlp\.fc1_g\."), ".mlp.w1."),
    (re.compile(r"\.mlp\.fc1_x\."), ".mlp.w2."),
    (re.compile(r"\.mlp\.fc2\."), ".mlp.w3."),
)
_TOWER = re.compile(r"^vision\.encoder\.(trunk|visual\.trunk|visual)\.(.*)$")
_OURS = re.compile(r"^(?:language\.(?P<root>\w+)\.layers|cross_attention)\.(?P<layer>\d+)\.(?P<rest>.*)$")
_SECOND = re.compile(r"^model\.lang_encoder\.(old_decoder_blocks|gated_cross_attn_layers)\.(\d+)\.(.*)$")
_WRAPPED = {"old_decoder_blocks": "decoder_layer", "gated_cross_attn_layers": "gated_cross_attn_layer"}


def published_name(ours: str, *, root: str, has_swiglu: bool) -> str:
    """Return the published name of a weight of our model.

    root: what holds the layers in the language model ("model" for Mistral and Llama). has_swiglu: of a timm EVA.
    """
    if tower := _TOWER.match(ours):
        kind, rest = tower.groups()
        for pattern, name in (*_TIMM_TO_EVA, *(_TIMM_TO_EVA_SWIGLU if has_swiglu else ())):
            rest = pattern.sub(name, rest) if kind != "visual" else rest
        return VISION + rest
    if layer := _OURS.match(ours):
        wrapped = "decoder_layer" if layer["root"] else "gated_cross_attn_layer"
        return f"{LANGUAGE}{root}.layers.{layer['layer']}.{wrapped}.{layer['rest']}"
    part, _, rest = ours.partition(".")
    return f"{LANGUAGE}{rest}" if part == "language" else f"model.{ours}"


def first_name(published: str, *, root: str) -> str:
    """Return the first of the two names that the published files have for a layer's weight; others as they are."""
    second = _SECOND.match(published)
    if not second:
        return published
    family, layer, rest = second.groups()
    return f"{LANGUAGE}{root}.layers.{layer}.{_WRAPPED[family]}.{rest}"
