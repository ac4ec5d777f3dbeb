"""Shapes in signatures are checked while tests run: the hook must come before the first import of these modules."""

import jaxtyping

HOOK = jaxtyping.install_import_hook(
    ["model.perceiver", "model.media", "model.cross_attention", "model.language", "model.vision", "model.infimm"],
    "beartype.beartype",
)
