"""The perceiver resampler: any number of vision tokens of an image into a fixed number of latents.

As published (INFIMM.md 1.3): no time or frame embeddings, no projection to the text width, every linear layer
without bias, LayerNorm eps 1e-5. Images never see each other. Parameter names are the published ones.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def feed_forward(width: int, multiple: int) -> nn.Sequential:
    """Return LayerNorm, up, GELU (exact), down, without biases; hidden width is `width * multiple`."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, width * multiple, bias=False),
        nn.GELU(),
        nn.Linear(width * multiple, width, bias=False),
    )


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return [..., S, H*K] as [..., H, S, K]."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(-2, -3)


def merge_heads(x: Tensor) -> Tensor:
    """Return [..., H, S, K] as [..., S, H*K]."""
    return x.transpose(-2, -3).flatten(-2)


class PerceiverAttention(nn.Module):
    """Latents attend to the tokens of their image, and to the latents themselves."""

    def __init__(self, width: int, *, heads: int, head_width: int) -> None:
        """width: V; heads, head_width: H and K, whose product is the inner width."""
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, media_NPV: Float[Tensor, "N P V"], latents_NLV: Float[Tensor, "N L V"]) -> Float[Tensor, "N L V"]:
        """Return what the latents take from media tokens (first) and latents (second)."""
        latents_NLV = self.norm_latents(latents_NLV)
        seen = torch.cat([self.norm_media(media_NPV), latents_NLV], dim=1)
        key, value = self.to_kv(seen).chunk(2, dim=-1)
        q, k, v = (split_heads(x, self.heads) for x in (self.to_q(latents_NLV), key, value))
        return cast(Tensor, self.to_out(merge_heads(F.scaled_dot_product_attention(q, k, v))))


class PerceiverResampler(nn.Module):
    """[N, P, V] vision tokens into [N, L, V] latents.

    Published sizes: 6 layers, 64 latents, 8 heads of 64, feed-forward 4 times as wide (INFIMM.md 1.1 tells why not
    16 heads of 96).
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int = 6,
        latents: int = 64,
        heads: int = 8,
        head_width: int = 64,
        ff_multiple: int = 4,
    ) -> None:
        """width: V, that of the vision tower; the others as in the class."""
        super().__init__()
        self.sizes = {
            "layers": layers, "latents": latents, "heads": heads, "head_width": head_width, "ff_multiple": ff_multiple
        }  # fmt: skip
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [PerceiverAttention(width, heads=heads, head_width=head_width), feed_forward(width, ff_multiple)]
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, media_NPV: Float[Tensor, "N P V"]) -> Float[Tensor, "N L V"]:
        """Return the latents of each image; N may be 0."""
        latents_NLV = self.latents.expand(len(media_NPV), -1, -1).to(media_NPV.dtype)
        for layer in self.layers:
            attention, ff = cast(Any, layer)
            latents_NLV = latents_NLV + attention(media_NPV, latents_NLV)
            latents_NLV = latents_NLV + ff(latents_NLV)
        return cast(Tensor, self.norm(latents_NLV))
