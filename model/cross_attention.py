"""The gated cross-attention block: a token takes from the latents of its own image, through a gate.

As published (INFIMM.md 1.4): no biases, media are not normalised here (the resampler's last LayerNorm is the norm),
tanh gates that start at 0, so that a new block is the identity. Parameter names are the published ones. Tokens that
see no image get zero from the attention, never an average over all images; documents without any image pass the
block untouched.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model.media import MediaPlan
from model.perceiver import feed_forward, merge_heads, split_heads

Backend = Literal["runs", "dense"]
"""`runs` scores each image's tokens against that image; `dense` scores all against all under a mask, and is the
reference that `runs` is proven equal to (outputs and gradients)."""

MediaKeys = tuple[Tensor, Tensor]
"""Keys and values of all images for one block, [N, H, L, K] each: computed once per sequence in generation."""


class MaskedCrossAttention(nn.Module):
    """Attention from text to the latents of each token's own image."""

    def __init__(self, width: int, media_width: int, *, heads: int, head_width: int) -> None:
        """width: D; media_width: V; heads, head_width: H and K."""
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(media_width, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def media_keys(self, latents_NLV: Float[Tensor, "N L V"]) -> MediaKeys:
        """Return keys and values of the images."""
        key, value = self.to_kv(latents_NLV).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(
        self, hidden_BTD: Float[Tensor, "B T D"], media: MediaKeys, plan: MediaPlan, backend: Backend = "runs"
    ) -> Float[Tensor, "B T D"]:
        """Return what each token takes from its image; 0 where it sees none."""
        if backend == "dense":
            query = self.to_q(self.norm(hidden_BTD))
            return cast(Tensor, self.to_out(self._dense(query, media, plan)))
        query_ME = self.to_q(self.norm(hidden_BTD.flatten(0, 1)[plan.tokens]))
        out_MD = self.to_out(self._runs(query_ME, media, plan))
        flat = hidden_BTD.new_zeros(hidden_BTD.flatten(0, 1).shape, dtype=out_MD.dtype)
        return flat.index_copy(0, plan.tokens, out_MD).view_as(hidden_BTD)

    def _runs(self, query_ME: Tensor, media: MediaKeys, plan: MediaPlan) -> Tensor:
        """Pad each image's run of tokens to the longest; one dense attention per image, no mask."""
        key, value = media
        runs = query_ME.new_zeros(plan.num_images, plan.longest_run, query_ME.shape[-1])
        runs = runs.index_put((plan.images, plan.slots), query_ME)
        attended = F.scaled_dot_product_attention(split_heads(runs, self.heads), key, value)
        return merge_heads(attended)[plan.images, plan.slots]

    def _dense(self, query_BTE: Tensor, media: MediaKeys, plan: MediaPlan) -> Tensor:
        """Every token against every latent of the batch under a mask."""
        key_HS, value_HS = (x.transpose(0, 1).flatten(1, 2) for x in media)  # [H, N*L, K]
        latents = media[0].shape[2]
        image_S = torch.arange(plan.num_images, device=query_BTE.device).repeat_interleave(latents)
        mask_BTS = plan.image_index[..., None] == image_S
        q = split_heads(query_BTE, self.heads)
        attended = F.scaled_dot_product_attention(
            q, key_HS.expand(len(q), -1, -1, -1), value_HS.expand(len(q), -1, -1, -1), attn_mask=mask_BTS[:, None]
        )
        sees_BT = plan.image_index >= 0
        return torch.where(sees_BT[..., None], merge_heads(attended), 0.0)


class GatedCrossAttentionBlock(nn.Module):
    """Cross-attention and feed-forward, each added through its tanh gate."""

    def __init__(
        self,
        width: int,
        media_width: int,
        *,
        heads: int = 8,
        head_width: int = 64,
        ff_multiple: int = 4,
        gate_start: float = 0.0,
    ) -> None:
        """width: D; media_width: V; gate_start: what both gates start at before tanh, 0 as published."""
        super().__init__()
        self.attn = MaskedCrossAttention(width, media_width, heads=heads, head_width=head_width)
        self.attn_gate = nn.Parameter(torch.full((1,), gate_start))
        self.ff = feed_forward(width, ff_multiple)
        self.ff_gate = nn.Parameter(torch.full((1,), gate_start))

    def forward(
        self, hidden_BTD: Float[Tensor, "B T D"], media: MediaKeys, plan: MediaPlan, backend: Backend = "runs"
    ) -> Float[Tensor, "B T D"]:
        """Return the hidden states with what the tokens of documents with images took from them."""
        if plan.is_empty:
            return hidden_BTD
        attended = self.attn(hidden_BTD, media, plan, backend)
        hidden_BTD = hidden_BTD + attended * self.attn_gate.tanh()
        if plan.is_all_active:
            return cast(Tensor, hidden_BTD + self.ff(hidden_BTD) * self.ff_gate.tanh())
        flat = hidden_BTD.flatten(0, 1)
        change = self.ff(flat[plan.active]) * self.ff_gate.tanh()
        return flat.index_add(0, plan.active, change.to(flat.dtype)).view_as(hidden_BTD)
