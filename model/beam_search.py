"""Beam search: the likeliest continuation among several kept at each step, as transformers' generate finds it.

Each prompt is read once; its beams share the images' keys and values, and the KV cache is reordered as beams change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from infimm_data.stream.tokens import Vocabulary
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.generate import Prompt, batch_prompts
from model.infimm import InfiMM


@dataclass(frozen=True, slots=True, kw_only=True)
class Beams:
    """num: continuations kept per prompt (1 is greedy); length_penalty: the sum of log probabilities is divided by
    length ** this, so 0 prefers short answers and 1 the mean.
    """

    num: int = 3
    length_penalty: float = 0.0
    max_new_tokens: int = 20


@dataclass(slots=True)
class _Finished:
    """The best `num` ended continuations of one prompt, as (score, tokens)."""

    num: int
    length_penalty: float
    found: list[tuple[float, list[int]]] = field(default_factory=list)

    def add(self, log_probability: float, tokens: list[int], length: int) -> None:
        self.found.append((log_probability / length**self.length_penalty, tokens))
        self.found.sort(key=lambda one: -one[0])
        del self.found[self.num :]

    def is_done(self, best_open: float, length: int) -> bool:
        """Return whether no open beam of `length` tokens can beat the worst kept one (its score at this length)."""
        return len(self.found) == self.num and self.found[-1][0] >= best_open / length**self.length_penalty


@torch.inference_mode()
def beam_search(model: InfiMM, prompts: Sequence[Prompt], vocabulary: Vocabulary, beams: Beams) -> list[list[int]]:
    """Return the new tokens of each prompt, without the one that ended it (`</s>` or `<|endofchunk|>`).

    `<image>` and `<s>` are never generated. Raises ValueError when a prompt has not as many images as `<image>` tokens.
    """
    declare_torchvision_ops()
    from transformers import DynamicCache  # heavy: only where a model is there anyway

    rows, num = len(prompts), beams.num
    batch, cache = batch_prompts(model, prompts, vocabulary), DynamicCache()
    media = model.media(batch.images.to(model.device))
    ids, documents, positions, index = batch.ids, batch.documents, batch.positions, batch.index
    keys = documents
    scores = torch.full((rows, num), -torch.inf)
    scores[:, 0] = 0.0  # all beams are equal at first: only one of them counts
    tokens: list[list[list[int]]] = [[[] for _ in range(num)] for _ in range(rows)]
    finished = [_Finished(num, beams.length_penalty) for _ in range(rows)]
    is_open = [True] * rows
    for step in range(beams.max_new_tokens):
        hidden = model.hidden(
            ids, document_ids=documents, key_document_ids=keys, position_ids=positions, image_index=index,
            media=media, cache=cache,
        )  # fmt: skip
        logits = model.logits(hidden[:, -1:])[:, 0].float().cpu()
        logits[:, [vocabulary.image, vocabulary.bos]] = -torch.inf
        logs = logits.log_softmax(-1)
        if step == 0:
            cache.batch_repeat_interleave(num)
            logs, keys = logs.repeat_interleave(num, 0), keys.repeat_interleave(num, 0)
            positions, index = positions.repeat_interleave(num, 0), index.repeat_interleave(num, 0)
        parents, chosen = _advance(logs, scores, tokens, finished, is_open, vocabulary, step + 1)
        if not any(is_open):
            break
        cache.reorder_cache(cast(Any, parents.to(model.device)))
        ids = chosen[:, None].to(model.device)
        documents, positions = torch.zeros_like(ids), positions[:, -1:] + 1
        index, keys = index[:, -1:], torch.cat([keys, documents], dim=1)
    for row in range(rows):
        if is_open[row]:
            for beam in range(num):
                finished[row].add(float(scores[row, beam]), tokens[row][beam], max(len(tokens[row][beam]), 1))
    return [one.found[0][1] for one in finished]


def _advance(
    logs: Tensor,
    scores: Tensor,
    tokens: list[list[list[int]]],
    finished: list[_Finished],
    is_open: list[bool],
    vocabulary: Vocabulary,
    length: int,
) -> tuple[Tensor, Tensor]:
    """Take one step of every open prompt, in place; return each beam's parent row and its new token, [rows x num].

    logs: [rows x num, vocabulary] log probabilities of the next token; length: tokens so far, the next included.
    """
    rows, num = scores.shape
    ends = (vocabulary.eos, vocabulary.end_of_chunk)
    parents, chosen = torch.arange(rows * num), torch.full((rows * num,), vocabulary.pad)
    for row in range(rows):
        if not is_open[row]:
            continue
        total = scores[row, :, None] + logs[row * num : (row + 1) * num]
        # Enough candidates that `num` go on even if both end tokens of every beam are among the best.
        best = total.flatten().topk(min((1 + len(ends)) * num, total.numel()))
        kept: list[tuple[float, int, int]] = []
        for rank, (value, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            beam, token = divmod(place, logs.shape[1])
            if token in ends:
                if rank < num and value > -torch.inf:
                    finished[row].add(value, tokens[row][beam], length)
            elif len(kept) < num:
                kept.append((value, beam, token))
        tokens[row] = [[*tokens[row][beam], token] for _, beam, token in kept]
        scores[row] = torch.tensor([value for value, _, _ in kept])
        place_of = slice(row * num, (row + 1) * num)
        parents[place_of] = torch.tensor([row * num + beam for _, beam, _ in kept])
        chosen[place_of] = torch.tensor([token for _, _, token in kept])
        is_open[row] = not finished[row].is_done(float(scores[row, 0]), length)
    return parents, chosen
