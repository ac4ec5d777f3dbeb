"""Generation in batches, with a KV cache that gives what a full forward gives.

Prompts are padded on the left. Images are encoded once, and their keys and values per block once. A row ends at
`</s>` or `<|endofchunk|>`; `<image>` is never generated, as no picture could stand behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.stream.images import to_pixels
from infimm_data.stream.templates import TemplateName, chat_prompt
from infimm_data.stream.tokens import Vocabulary
from infimm_data.torchvision_ops import declare_torchvision_ops
from model.infimm import InfiMM, vision_of


@dataclass(frozen=True, slots=True)
class Prompt:
    """ids: tokens, `<s>` included; images: [3, H, W] uint8, one per `<image>` among the ids, in order."""

    ids: tuple[int, ...]
    images: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. temperature: 0 is greedy; top_p: the smallest set of that probability."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


def prompt_of(
    images: Sequence[Image.Image], vocabulary: Vocabulary, *, side: int, text: str = "",
    template: TemplateName = "plain",
) -> Prompt:  # fmt: skip
    """Return RGB pictures and a text as the model was trained to continue them.

    side: pixels, that of the vision tower; template: plain is `<s><image><|endofchunk|><image>...TEXT`, any other
    the turn of a user who shows the pictures and then asks TEXT, up to where the answer begins.
    """
    pixels = tuple(torch.from_numpy(to_pixels(image, side)) for image in images)
    if template != "plain":
        shown = [ImageNode(url="", role="user") for _ in images]
        asked = Document(id="prompt", nodes=(*shown, TextNode(text=text, role="user", loss=False)))
        return Prompt(tuple(chat_prompt(asked, vocabulary, template).ids.tolist()), pixels)
    ids = [vocabulary.bos]
    for number in range(len(images)):
        ids += [vocabulary.end_of_chunk, vocabulary.image] if number else [vocabulary.image]
    return Prompt((*ids, *vocabulary.encode(text)[0]), pixels)


@torch.inference_mode()
def generate(
    model: InfiMM, prompts: Sequence[Prompt], vocabulary: Vocabulary, sampling: Sampling | None = None
) -> list[list[int]]:
    """Return the new tokens of each prompt, without the one that ended it.

    Raises ValueError when a prompt has not as many images as `<image>` tokens.
    """
    declare_torchvision_ops()
    from transformers import DynamicCache  # heavy: only where a model is there anyway

    sampling = sampling or Sampling()
    state = batch_prompts(model, prompts, vocabulary)
    media = model.media(state.images.to(model.device))
    cache, random = DynamicCache(), torch.Generator().manual_seed(sampling.seed)
    found: list[list[int]] = [[] for _ in prompts]
    is_open = torch.ones(len(prompts), dtype=torch.bool)
    ids, documents, positions, index = state.ids, state.documents, state.positions, state.index
    keys = documents
    for _ in range(sampling.max_new_tokens):
        hidden = model.hidden(
            ids, document_ids=documents, key_document_ids=keys, position_ids=positions, image_index=index,
            media=media, cache=cache,
        )  # fmt: skip
        scores = model.logits(hidden[:, -1:])[:, 0].float().cpu()
        scores[:, [vocabulary.image, vocabulary.bos]] = -torch.inf
        chosen = _choose(scores, sampling, random)
        is_open &= ~torch.isin(chosen, torch.tensor([vocabulary.eos, vocabulary.end_of_chunk]))
        if not is_open.any():
            break
        for row in torch.nonzero(is_open).flatten().tolist():
            found[row].append(int(chosen[row]))
        ids = chosen[:, None].to(model.device)
        documents, positions, index = torch.zeros_like(ids), positions[:, -1:] + 1, index[:, -1:]
        keys = torch.cat([keys, documents], dim=1)
    return found


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """The prompts as one left-padded batch; all tensors [B, T] on the model's device but the images."""

    ids: Tensor
    documents: Tensor
    positions: Tensor
    index: Tensor
    images: Tensor


def batch_prompts(model: InfiMM, prompts: Sequence[Prompt], vocabulary: Vocabulary) -> PromptBatch:
    """Return the batch; raises ValueError when a prompt has not as many images as `<image>` tokens."""
    length = max(len(prompt.ids) for prompt in prompts)
    ids = torch.full((len(prompts), length), vocabulary.pad)
    documents, index = torch.full_like(ids, -1), torch.full_like(ids, -1)
    positions = torch.zeros_like(ids)
    images: list[Tensor] = []
    for row, prompt in enumerate(prompts):
        own = torch.tensor(prompt.ids)
        shown = (own == vocabulary.image).cumsum(0)
        if int(shown[-1]) != len(prompt.images):
            raise ValueError(f"prompt {row}: {int(shown[-1])} <image> tokens, but {len(prompt.images)} images")
        place = slice(length - len(own), length)
        ids[row, place], documents[row, place] = own, 0
        positions[row, place] = torch.arange(len(own))
        index[row, place] = torch.where(shown > 0, shown - 1 + len(images), -1)
        images += prompt.images
    side = vision_of(model).image_side if not images else 0
    pixels = torch.stack(images) if images else torch.zeros(0, 3, side, side, dtype=torch.uint8)
    device = model.device
    return PromptBatch(ids.to(device), documents.to(device), positions.to(device), index.to(device), pixels)


def _choose(scores: Tensor, sampling: Sampling, random: torch.Generator) -> Tensor:
    """Return one token per row of [B, vocabulary] scores."""
    if sampling.temperature == 0:
        return scores.argmax(-1)
    probabilities, order = (scores / sampling.temperature).softmax(-1).sort(-1, descending=True)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    return order.gather(-1, torch.multinomial(kept, 1, generator=random))[:, 0]
