"""Sequences that grow token by token: a KV cache that gives what a full forward gives, and images encoded once.

Prompts are padded on the left, so that all sequences grow at the same place; padding is no document, and nothing sees
it. Keys and values of the images are computed once for the whole generation, and shared by the beams of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from infimm_data.errors import InfiMMError
from infimm_data.stream.tokens import Vocabulary
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.infimm import InfiMM, vision_of
from model.semantics import SEMANTICS, Rows, latest_images


@dataclass(frozen=True, slots=True)
class Prompt:
    """ids: tokens, `<s>` included; images: [3, H, W], one per `<image>` among the ids, in order.

    Images are uint8, or floats that are normalised already; one kind in a batch.
    """

    ids: tuple[int, ...]
    images: tuple[Tensor, ...] = ()


class Decoding:
    """Prompts and what was generated after them; `scores` of the next token, `add` it, `select` among sequences."""

    def __init__(self, model: InfiMM, prompts: Sequence[Prompt], vocabulary: Vocabulary) -> None:
        """prompts: at least one, each of at least one token.

        Raises ValueError when a prompt has not as many images as `<image>` tokens.
        """
        declare_torchvision_ops()
        from transformers import DynamicCache  # heavy: only where a model is there anyway

        self._model, self._cache = model, DynamicCache()
        length = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), length), vocabulary.pad)
        documents = torch.full_like(ids, -1)
        for row, prompt in enumerate(prompts):
            if not prompt.ids:
                raise ValueError(f"prompt {row}: no tokens; expected at least {vocabulary.bos}, the start of a text")
            place = slice(length - len(prompt.ids), length)
            ids[row, place], documents[row, place] = torch.tensor(prompt.ids), 0
        index = _seen(ids, documents, prompts, vocabulary, model.settings.semantics)
        device, self._media = model.device, model.media(_pixels(model, prompts))
        self._ids, self._index = ids.to(device), index.to(device)
        self._documents = self._key_documents = documents.to(device)
        self._positions = ((documents >= 0).cumsum(1) - 1).clamp(min=0).to(device)

    def scores(self) -> Tensor:
        """Return [sequences, vocabulary] float logits of the next token, on the CPU; reads what was added since.

        Raises InfiMMError when the model's weights make one of them NaN, which would be taken for a token.
        """
        hidden_BTD = self._model.hidden(
            self._ids,
            document_ids=self._documents,
            key_document_ids=self._key_documents,
            position_ids=self._positions,
            image_index=self._index,
            media=self._media,
            cache=self._cache,
        )
        scores = self._model.logits(hidden_BTD[:, -1:])[:, 0].float().cpu()
        if scores.isnan().any():
            raise InfiMMError("the model's scores are not numbers: a weight of it is none; take an earlier checkpoint")
        return scores

    def add(self, tokens: Tensor) -> None:
        """Append one token to each sequence; after the last image of its prompt, as every later token."""
        self._ids = tokens[:, None].to(self._model.device)
        self._documents = torch.zeros_like(self._ids)
        self._positions, self._index = self._positions[:, -1:] + 1, self._index[:, -1:]
        self._key_documents = torch.cat([self._key_documents, self._documents], dim=1)

    def select(self, sequences: Tensor) -> None:
        """Go on with these sequences, by number; one may be chosen several times. After `scores`, before `add`."""
        chosen = sequences.to(self._model.device)
        self._cache.reorder_cache(cast(Any, chosen))
        self._positions, self._index = self._positions[chosen], self._index[chosen]
        self._key_documents = self._key_documents[chosen]


def _pixels(model: InfiMM, prompts: Sequence[Prompt]) -> Tensor:
    images = [image for prompt in prompts for image in prompt.images]
    side = vision_of(model).image_side if not images else 0
    pixels = torch.stack(images) if images else torch.zeros(0, 3, side, side, dtype=torch.uint8)
    return pixels.to(model.device)


def _seen(ids: Tensor, documents: Tensor, prompts: Sequence[Prompt], vocabulary: Vocabulary, semantics: str) -> Tensor:
    """Return the image that each token of the prompts sees, [prompts, T]."""
    is_image = (ids == vocabulary.image) & (documents >= 0)
    latest = latest_images(is_image, documents, torch.tensor([len(prompt.images) for prompt in prompts]))
    rows = Rows(ids=ids, document_ids=documents, latest=latest, is_image=is_image, is_end=ids == vocabulary.eos)
    return SEMANTICS[semantics].prompt(rows, 0)
