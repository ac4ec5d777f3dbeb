"""The loss: cross-entropy in nats, whole or in chunks, weighted per token and added up per source.

Whole, the scores of 16,384 tokens over 32,002 words are 2.1 GB in fp32, and backward holds them twice. In chunks, each
chunk's scores are computed again in backward, so that one chunk at a time is in memory: the head runs twice, which is
under 2 % of a step in the Zephyr layout (anchors in 3.2 of training).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from infimm_data.stream.tokens import IGNORED

Head = Callable[[Tensor], Tensor]
"""Hidden states [M, D] -> scores [M, E]."""


@dataclass(frozen=True, slots=True)
class LossTerms:
    """What the loss is made of. M targets of a batch, those without a loss included.

    targets [M]: IGNORED where there is none; weights [M]: what a target counts, None for 1 each; sources [M]: from
    0 to num_sources - 1, None where all are of one.
    """

    targets: Tensor
    weights: Tensor | None = None
    sources: Tensor | None = None
    num_sources: int = 1


@dataclass(frozen=True, slots=True)
class LossSums:
    """total: nats over all targets; weighted: each times its weight, what training lowers; by_source [S]: of total."""

    total: Tensor
    weighted: Tensor
    by_source: Tensor | None = None


def shifted(
    labels: Int[Tensor, "B T"],
    weights: Float[Tensor, "B T"] | None = None,
    sources: Int[Tensor, "B T"] | None = None,
    *,
    num_sources: int = 1,
) -> LossTerms:
    """Return the terms of labels that are aligned with their tokens: each is predicted by the token before it.

    The last token of a row predicts nothing, so its target is IGNORED and M is B * T: shapes stay those of the rows.
    """

    def next_of(values: Tensor, filler: int) -> Tensor:
        return F.pad(values[:, 1:], (0, 1), value=filler).flatten()

    return LossTerms(
        next_of(labels, IGNORED),
        None if weights is None else next_of(weights, 0),
        None if sources is None else next_of(sources, -1).long(),
        num_sources,
    )


def loss_sums(hidden_MD: Float[Tensor, "M D"], head: Head, terms: LossTerms, *, chunk_tokens: int | None) -> LossSums:
    """Return the sums over all targets. chunk_tokens: tokens whose scores are in memory at once, None for all."""
    size = len(hidden_MD)
    if chunk_tokens is None or chunk_tokens >= size:
        return _sums(head(hidden_MD), terms)
    parts = []
    for start in range(0, size, chunk_tokens):
        own = slice(start, start + chunk_tokens)
        found = checkpoint(_chunk, hidden_MD[own], head, _part(terms, own), use_reentrant=False)
        parts.append(cast(Tensor, found))
    return _unpacked(torch.stack(parts).sum(0), terms)


def _part(terms: LossTerms, own: slice) -> LossTerms:
    weights = None if terms.weights is None else terms.weights[own]
    sources = None if terms.sources is None else terms.sources[own]
    return LossTerms(terms.targets[own], weights, sources, terms.num_sources)


def _chunk(hidden_MD: Tensor, head: Head, terms: LossTerms) -> Tensor:
    """Return the sums of a chunk as one vector, which `checkpoint` can carry."""
    sums = _sums(head(hidden_MD), terms)
    by_source = [] if sums.by_source is None else list(sums.by_source)
    return torch.stack([sums.total, sums.weighted, *by_source])


def _unpacked(packed: Tensor, terms: LossTerms) -> LossSums:
    return LossSums(packed[0], packed[1], None if terms.sources is None else packed[2:].detach())


def _sums(scores_ME: Tensor, terms: LossTerms) -> LossSums:
    scores_ME = scores_ME.float()
    if terms.weights is None and terms.sources is None:
        total = F.cross_entropy(scores_ME, terms.targets, ignore_index=IGNORED, reduction="sum")
        return LossSums(total, total)
    nats_M = F.cross_entropy(scores_ME, terms.targets, ignore_index=IGNORED, reduction="none")
    by_source = None
    if terms.sources is not None:
        is_target = terms.targets != IGNORED
        place_M = torch.where(is_target, terms.sources, 0)
        by_source = nats_M.new_zeros(terms.num_sources).index_add(0, place_M, nats_M.detach() * is_target)
    weighted = nats_M.sum() if terms.weights is None else (nats_M * terms.weights).sum()
    return LossSums(nats_M.sum(), weighted, by_source)
