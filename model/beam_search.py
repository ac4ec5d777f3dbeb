"""Beam search: the sequence of the best score among several that grow side by side.

The score is the sum of log-probabilities over length ** length_penalty, the end token counted: 0 takes the likeliest
sequence as it is, which OpenFlamingo's evaluation uses with 3 beams (INFIMM.md 4.2). Which sequences are kept and when
a prompt is done follows transformers' beam search with `early_stopping=False`; tests compare token by token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.decoding import Decoding


@dataclass(slots=True)
class _Ended:
    """The best ended sequences of one prompt, at most as many as beams, best first."""

    beams: int
    found: list[tuple[float, list[int]]] = field(default_factory=list)
    is_done: bool = False

    def add(self, score: float, tokens: list[int]) -> None:
        self.found = sorted([*self.found, (score, tokens)], key=lambda one: -one[0])[: self.beams]

    def close(self, best_open: float) -> None:
        """Be done when no open sequence can still beat the worst of the ended."""
        self.is_done = self.is_done or (len(self.found) == self.beams and best_open <= self.found[-1][0])


def beam_search(
    decoding: Decoding,
    *,
    beams: int,
    length_penalty: float,
    max_new_tokens: int,
    stop: Tensor,
    forbid: Callable[[Tensor, int], None],
) -> list[list[int]]:
    """Return the best new tokens of each prompt, without the token that ended them.

    stop: ids that end a sequence; forbid: sets the scores of tokens that may not come at a length to -inf, in place.
    """
    scores = decoding.scores()
    prompts, size = scores.shape
    first = torch.arange(prompts)[:, None] * beams
    decoding.select(torch.arange(prompts).repeat_interleave(beams))
    scores = scores.repeat_interleave(beams, 0)
    totals = torch.full((prompts, beams), -torch.inf)
    totals[:, 0] = 0.0  # the beams of a prompt are still the same one
    tokens = torch.zeros(prompts * beams, 0, dtype=torch.long)
    ended = [_Ended(beams) for _ in range(prompts)]
    kept = min(max(2, 1 + len(stop)) * beams, beams * size)  # enough that `beams` of them go on
    for length in range(1, max_new_tokens + 1):
        shares = scores.log_softmax(-1)
        forbid(shares, length)
        best, place = (totals[..., None] + shares.view(prompts, beams, size)).flatten(1).topk(kept)
        parents, chosen = first + place // size, place % size
        ends = torch.isin(chosen, stop) | (length == max_new_tokens)
        grown = torch.cat([tokens[parents], chosen[..., None]], dim=-1)
        for prompt, rank in torch.nonzero(ends[:, :beams]).tolist():
            if not ended[prompt].is_done:
                score = float(best[prompt, rank]) / length**length_penalty
                ended[prompt].add(score, grown[prompt, rank].tolist())
        totals, order = best.masked_fill(ends, -torch.inf).topk(beams)
        for prompt, one in enumerate(ended):
            one.close(float(totals[prompt, 0]) / length**length_penalty)
        if length == max_new_tokens or all(one.is_done for one in ended):
            break
        tokens = grown.gather(1, order[..., None].expand(-1, -1, length)).flatten(0, 1)
        decoding.select(parents.gather(1, order).flatten())
        decoding.add(tokens[:, -1])
        scores = decoding.scores()
    ids = set(stop.tolist())
    return [found[:-1] if found[-1] in ids else found for found in (one.found[0][1] for one in ended)]
