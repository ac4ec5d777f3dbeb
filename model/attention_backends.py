"""The back-ends of cross-attention: five ways to the same numbers, of which each device has its best.

Each takes the plan of a batch, prepares once what all blocks share, and returns the function that a block calls: from
query [M, H, K] of the tokens that see an image, and keys and values [N, L, H, K] of the images, to [M, H, K].

dense: all scores, masked, in plain operations; the reference. O(M * N * L).
sdpa: the same under torch's fused attention with a boolean mask. O(M * N * L), the mask alone in memory.
runs: the tokens of each image in chunks as long as the mean, each attended to that image alone. At most O(2 * M * L).
varlen: the same without padding, by flash attention. O(M * L). CUDA, fp16 or bf16.
flex: FlexAttention with a block mask; only blocks that are not empty. On the CPU forward only, and slow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from model.media import MediaPlan

BackendName = Literal["auto", "dense", "sdpa", "runs", "varlen", "flex"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query [M, H, K], key [N, L, H, K], value [N, L, H, K]) -> [M, H, K]"""

_HALF = (torch.float16, torch.bfloat16)


def prepare(name: BackendName, plan: MediaPlan, key_NLHK: Tensor) -> Attend:
    """Return the function that every block of a batch attends with; key_NLHK: any block's keys, for sizes and type.

    Raises ValueError when the back-end cannot run there.
    """
    if name == "auto":
        name = choose(key_NLHK)
    if name == "varlen" and not _has_varlen(key_NLHK):
        raise ValueError(
            f"cross_attention.backend varlen: {key_NLHK.dtype}, heads of {key_NLHK.shape[-1]}, {key_NLHK.device.type}; "
            "expected CUDA, fp16 or bf16, and heads of a multiple of 8 up to 256; use auto"
        )
    return BACKENDS[name](plan, key_NLHK.shape[1])


def choose(key_NLHK: Tensor) -> Literal["varlen", "runs"]:
    """Return what `auto` takes: varlen wherever it runs, else runs (4 to 17 times dense on 2 CPU cores)."""
    return "varlen" if _has_varlen(key_NLHK) else "runs"


def _has_varlen(key_NLHK: Tensor) -> bool:
    width = key_NLHK.shape[-1]
    return key_NLHK.is_cuda and key_NLHK.dtype in _HALF and width % 8 == 0 and width <= 256  # flash attention's limits


def _sees(plan: MediaPlan, latents: int) -> Bool[Tensor, "M S"]:
    """Return which of all S = N * L latents each token sees."""
    image_S = torch.arange(plan.num_images, device=plan.images.device).repeat_interleave(latents)
    return plan.images[:, None] == image_S


def _heads_first(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return all as one sequence for torch: [1, H, M or S, K]."""
    query, key, value = (x.transpose(0, 1)[None] for x in (query_MHK, key_NLHK.flatten(0, 1), value_NLHK.flatten(0, 1)))
    return query, key, value


def _dense(plan: MediaPlan, latents: int) -> Attend:
    hidden_MS = ~_sees(plan, latents)

    def attend(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> Tensor:
        scores = torch.einsum("mhk,shk->hms", query_MHK * query_MHK.shape[-1] ** -0.5, key_NLHK.flatten(0, 1))
        shares = scores.masked_fill(hidden_MS, -torch.inf).softmax(-1)
        return torch.einsum("hms,shk->mhk", shares, value_NLHK.flatten(0, 1))

    return attend


def _sdpa(plan: MediaPlan, latents: int) -> Attend:
    sees_MS = _sees(plan, latents)

    def attend(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> Tensor:
        query, key, value = _heads_first(query_MHK, key_NLHK, value_NLHK)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=sees_MS)[0].transpose(0, 1)

    return attend


def _runs(plan: MediaPlan, latents: int) -> Attend:
    del latents
    chunks = plan.chunks

    def attend(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> Tensor:
        padded = query_MHK.new_zeros(len(chunks.images), chunks.length, *query_MHK.shape[1:])
        padded = padded.index_put((chunks.chunk, chunks.slot), query_MHK)
        if not chunks.are_images:
            key_NLHK, value_NLHK = key_NLHK[chunks.images], value_NLHK[chunks.images]
        query, key, value = (x.transpose(1, 2) for x in (padded, key_NLHK, value_NLHK))
        found = F.scaled_dot_product_attention(query, key, value)
        return found.transpose(1, 2)[chunks.chunk, chunks.slot]

    return attend


def _varlen(plan: MediaPlan, latents: int) -> Attend:
    from torch.nn.attention.varlen import varlen_attn  # torch 2.10 and later; imports CUDA kernels

    bounds = plan.run_bounds.int()
    key_bounds = torch.arange(plan.num_images + 1, device=bounds.device, dtype=torch.int32) * latents

    def attend(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> Tensor:
        # Nothing but what torch 2.11 to 2.13 share; all three attend to everything unless told otherwise.
        found = varlen_attn(
            query_MHK.contiguous(), key_NLHK.flatten(0, 1).contiguous(), value_NLHK.flatten(0, 1).contiguous(),
            bounds, key_bounds, plan.longest_run, latents,
        )  # fmt: skip
        return cast(Tensor, found)

    return attend


def _flex(plan: MediaPlan, latents: int) -> Attend:
    from torch.nn.attention.flex_attention import create_block_mask  # slow to import

    images = plan.images

    def sees(batch: Tensor, head: Tensor, token: Tensor, latent: Tensor) -> Tensor:
        del batch, head
        return images[token] == latent // latents

    size = (len(plan.tokens), plan.num_images * latents)
    mask = create_block_mask(sees, None, None, *size, device=images.device)

    def attend(query_MHK: Tensor, key_NLHK: Tensor, value_NLHK: Tensor) -> Tensor:
        query, key, value = _heads_first(query_MHK, key_NLHK, value_NLHK)
        found = _flex_attention(is_compiled=query.is_cuda)(query, key, value, block_mask=mask)
        return cast(Tensor, found)[0].transpose(0, 1)

    return attend


@functools.cache
def _flex_attention(*, is_compiled: bool) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    found: Any = flex_attention
    return cast(Callable[..., Any], torch.compile(found, dynamic=True) if is_compiled else found)


BACKENDS: dict[str, Callable[[MediaPlan, int], Attend]] = {
    "dense": _dense,
    "sdpa": _sdpa,
    "runs": _runs,
    "varlen": _varlen,
    "flex": _flex,
}
