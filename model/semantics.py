"""Which image a token sees and where a gated block acts, by name, as the published Flamingo models differ in it.

| name | a token sees | the block acts on |
|---|---|---|
| infimm | the latest image of its document at or before it | every token of a document that has an image |
| infimm_causal | the same | the tokens that see an image: the same in training as with a KV cache |
| openflamingo | the same | every token: without an image the feed-forward branch alone |
| idefics | the same, but none from the token after an `</s>` to the next `<image>` | every token |
| flamingo | the latest image or the next one, one for a whole document, p = .5 | every token |

What they share: documents packed into a row never see each other's images, and a token that sees no image takes
exactly zero from the attention, never an average over all images (INFIMM.md 1.9, anchors in 2.1 of training).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from infimm_data.stream.batch import Batch
from infimm_data.stream.tokens import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a rule looks at, all [B, T]: ids; document_ids, -1 on padding; latest: the image at or before, or -1."""

    ids: Tensor
    document_ids: Tensor
    latest: Tensor
    is_image: Tensor
    is_end: Tensor


@dataclass(frozen=True, slots=True)
class Semantics:
    """sees: rows and a seed -> image index [B, T]; prompt: the same for a prompt; acts: (image index, document ids) ->
    where the block acts [B, T].
    """

    sees: Callable[[Rows, int], Tensor]
    prompt: Callable[[Rows, int], Tensor]
    acts: Callable[[Tensor, Tensor], Tensor]


def latest_images(
    is_image_BT: Bool[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"], num_images_B: Int[Tensor, "B"]
) -> Int[Tensor, "B T"]:
    """Return for each token the latest image of its document at or before it, -1 for none.

    num_images_B: images of each row; the images of the batch are those of row 0, then of row 1, ... Raises
    ValueError when a row has another number of `<image>` tokens than of images: the published mask would then let
    those tokens see every image alike.
    """
    is_image_BT = is_image_BT & (document_ids_BT >= 0)
    for row, (tokens, images) in enumerate(zip(is_image_BT.sum(1).tolist(), num_images_B.tolist(), strict=True)):
        if tokens != images:
            raise ValueError(f"row {row}: {tokens} <image> tokens, but {images} images")
    first_B = num_images_B.cumsum(0) - num_images_B
    number_BT = is_image_BT.cumsum(1) - 1 + first_B[:, None]
    return _at(number_BT, _last(is_image_BT), document_ids_BT)


def as_seen(batch: Batch, vocabulary: Vocabulary, name: str, *, seed: int = 0) -> Batch:
    """Return a batch of the stream with the image index of a semantics; the stream gives each token its latest image.

    seed: of the choice between the latest and the next image; the same document chooses alike wherever it stands.
    """
    rows = Rows(
        ids=batch.input_ids,
        document_ids=batch.document_ids,
        latest=batch.image_index,
        is_image=(batch.input_ids == vocabulary.image) & (batch.document_ids >= 0),
        is_end=(batch.input_ids == vocabulary.eos) & (batch.document_ids >= 0),
    )
    return dataclasses.replace(batch, image_index=SEMANTICS[name].sees(rows, seed))


def documents_with_images(
    image_index_BT: Int[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"]
) -> Bool[Tensor, "B T"]:
    """Return whether the document of each token has an image anywhere; False on padding (-1).

    This is InfiMM's row flag, per document: the same where a row is one document, as in the published model.
    """
    rows = torch.arange(len(document_ids_BT), device=document_ids_BT.device)[:, None]
    width = int(document_ids_BT.max()) + 2 if document_ids_BT.numel() else 1
    document_BT = rows * width + document_ids_BT.long() + 1  # each document of the batch, and each row's padding
    has_image = torch.zeros(len(document_ids_BT) * width, dtype=torch.bool, device=document_ids_BT.device)
    has_image[document_BT[image_index_BT >= 0]] = True
    return has_image[document_BT] & (document_ids_BT >= 0)


def tokens_with_images(image_index_BT: Int[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """Return whether each token sees an image."""
    return (image_index_BT >= 0) & (document_ids_BT >= 0)


def all_tokens(image_index_BT: Int[Tensor, "B T"], document_ids_BT: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """Return whether each token is one, not padding."""
    del image_index_BT
    return document_ids_BT >= 0


def _last(marked_BT: Tensor) -> Tensor:
    """Return the position of the last marked token at or before each token, -1 for none."""
    at = torch.arange(marked_BT.shape[1], device=marked_BT.device).expand_as(marked_BT)
    return torch.where(marked_BT, at, -1).cummax(1).values


def _at(values_BT: Tensor, positions_BT: Tensor, document_ids_BT: Tensor) -> Tensor:
    """Return the value at a position of the same document; -1 where there is none (padding has none)."""
    there = positions_BT.clamp(min=0)
    is_same = (positions_BT >= 0) & (document_ids_BT.gather(1, there) == document_ids_BT) & (document_ids_BT >= 0)
    return torch.where(is_same, values_BT.gather(1, there), -1)


def _latest(rows: Rows, seed: int) -> Tensor:
    del seed
    return rows.latest


def _until_end(rows: Rows, seed: int) -> Tensor:
    """IDEFICS: an `</s>` still sees its image, what follows it none."""
    del seed
    positions = torch.arange(rows.ids.shape[1], device=rows.ids.device).expand_as(rows.ids)
    own_end = _at(positions, _last(rows.is_end).roll(1, 1).index_fill(1, rows.ids.new_zeros(1), -1), rows.document_ids)
    own_image = _at(positions, _last(rows.is_image), rows.document_ids)
    return torch.where(own_end > own_image, -1, rows.latest)


def _latest_or_next(rows: Rows, seed: int) -> Tensor:
    """Flamingo: the next image is the first at or after a token; after the last image there is none."""
    positions = rows.ids.shape[1] - 1 - _last(rows.is_image.flip(1)).flip(1)  # T where there is none
    positions = positions.masked_fill(positions == rows.ids.shape[1], -1)
    following = _at(rows.latest, positions, rows.document_ids)
    return torch.where(_coins(rows, seed), following, rows.latest)


def _coins(rows: Rows, seed: int) -> Tensor:
    """Return one fair choice per document, from its tokens: the same on any rank, in any row, after a resume."""
    chosen = torch.zeros_like(rows.document_ids, dtype=torch.bool)
    for row in range(len(rows.ids)):
        for document in set(rows.document_ids[row].tolist()):
            own = rows.document_ids[row] == document
            ids = rows.ids[row, own].long().cpu().numpy().tobytes()
            chosen[row, own] = bool(hashlib.blake2b(ids, digest_size=1, key=str(seed).encode()).digest()[0] & 1)
    return chosen


SEMANTICS = {
    "infimm": Semantics(_latest, _latest, documents_with_images),
    "infimm_causal": Semantics(_latest, _latest, tokens_with_images),
    "openflamingo": Semantics(_latest, _latest, all_tokens),
    "idefics": Semantics(_until_end, _until_end, all_tokens),
    "flamingo": Semantics(_latest_or_next, _latest, all_tokens),
}
