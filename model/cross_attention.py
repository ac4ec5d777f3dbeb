"""The gated cross-attention block: a token takes from the latents of its own image, through a gate.

As published (INFIMM.md 1.4): no biases, media are not normalised here (the resampler's last LayerNorm is the norm),
tanh gates that start at 0, so that a new block is the identity. Parameter names are the published ones. Tokens that
see no image get zero from the attention, never an average over all images; documents without any image pass the
block untouched.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, full, nn

from model.attention_backends import Attend
from model.media import MediaPlan
from model.perceiver import feed_forward

MediaKeys = tuple[Tensor, Tensor]
"""Keys and values of all images for one block, [N, L, H, K] each: computed once per sequence in generation."""

Gate = Literal["scalar", "channel"]
"""One gate for a branch (InfiMM), or one for each channel of it (InfiMM-HD)."""


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
        key, value = self.to_kv(latents_NLV).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        return key, value

    def forward(
        self, hidden_BTD: Float[Tensor, "B T D"], media: MediaKeys, plan: MediaPlan, attend: Attend
    ) -> Float[Tensor, "B T D"]:
        """Return what each token takes from its image; 0 where it sees none. attend: of a back-end."""
        flat = hidden_BTD.flatten(0, 1)
        query_MHK = self.to_q(self.norm(flat[plan.tokens])).unflatten(-1, (self.heads, -1))
        out_MD = self.to_out(attend(query_MHK, *media).flatten(1))
        return flat.new_zeros(flat.shape, dtype=out_MD.dtype).index_copy(0, plan.tokens, out_MD).view_as(hidden_BTD)


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
        gate: Gate = "scalar",
        gate_start: float = 0.0,
    ) -> None:
        """width: D; media_width: V; gate: "channel" as in InfiMM-HD; gate_start: before tanh, 0 as published."""
        super().__init__()
        self.attn = MaskedCrossAttention(width, media_width, heads=heads, head_width=head_width)
        self.attn_gate = nn.Parameter(full((1 if gate == "scalar" else width,), gate_start))
        self.ff = feed_forward(width, ff_multiple)
        self.ff_gate = nn.Parameter(full((1 if gate == "scalar" else width,), gate_start))

    def forward(
        self, hidden_BTD: Float[Tensor, "B T D"], media: MediaKeys | None, plan: MediaPlan, attend: Attend | None
    ) -> Float[Tensor, "B T D"]:
        """Return the hidden states with what the tokens took from their images, and the feed-forward where it acts.

        media: None where the batch has no image; attend: None where no token sees one.
        """
        if media is not None and attend is not None:
            attended = self.attn(hidden_BTD, media, plan, attend)
            hidden_BTD = hidden_BTD + attended * self.attn_gate.tanh()
        elif media is not None:
            hidden_BTD = hidden_BTD + self._nothing(media)
        if plan.is_all_active:
            return cast(Tensor, hidden_BTD + self.ff(hidden_BTD) * self.ff_gate.tanh())
        flat = hidden_BTD.flatten(0, 1)
        change = self.ff(flat[plan.active]) * self.ff_gate.tanh()
        return flat.index_add(0, plan.active, change.to(flat.dtype)).view_as(hidden_BTD)

    def _nothing(self, media: MediaKeys) -> Tensor:
        """Return a zero that depends on all that attention has: ranks that add up gradients wait for each of them."""
        parts = [*self.attn.norm.parameters(), self.attn.to_q.weight, self.attn.to_out.weight, self.attn_gate, *media]
        return torch.stack([part.sum() for part in parts]).sum() * 0.0
