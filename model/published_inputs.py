"""The published calling convention turned into ours: vision_x and lang_x into rows with an image index.

Call `model(**published_inputs(vision_x, lang_x, image_token_id=32001, attention_mask=..., labels=...))`, or
`generate(model, published_prompts(vision_x, lang_x, image_token_id=32001, attention_mask=...), ...)`.
"""

from __future__ import annotations

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from model.generate import Prompt
from model.semantics import latest_images


def published_inputs(
    vision_x: Shaped[Tensor, "B I F C H W"],
    lang_x: Int[Tensor, "B T"],
    *,
    image_token_id: int,
    attention_mask: Int[Tensor, "B T"] | None = None,
    labels: Int[Tensor, "B T"] | None = None,
) -> dict[str, Tensor]:
    """Return the arguments of an `InfiMM` call; each row is one document, as in the published model.

    vision_x: I images per row, those of a row first and padding behind, F = 1 frame, floats already normalised or
    uint8; lang_x: tokens; attention_mask: 0 on padding, on either side; labels: aligned with lang_x, -100 without
    loss (the shift happens inside). Images that no `<image>` refers to are left out and cost nothing.

    Raises ValueError when a row has more `<image>` tokens than images, or an image has several frames.
    """
    if vision_x.shape[2] != 1:
        raise ValueError(f"vision_x has {vision_x.shape[2]} frames per image, expected 1")
    attended = torch.ones_like(lang_x, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    document_ids = torch.where(attended, 0, -1)
    is_image = (lang_x == image_token_id) & attended
    num_images = is_image.sum(1).clamp(max=vision_x.shape[1])
    is_shown = torch.arange(vision_x.shape[1], device=lang_x.device) < num_images[:, None]
    inputs = {
        "input_ids": lang_x,
        "document_ids": document_ids,
        "position_ids": (attended.long().cumsum(1) - 1).clamp(min=0),
        "image_index": latest_images(is_image, document_ids, num_images),
        "images": vision_x[:, :, 0][is_shown.to(vision_x.device)],
    }
    return inputs if labels is None else inputs | {"labels": labels}


def published_prompts(
    vision_x: Shaped[Tensor, "B I F C H W"],
    lang_x: Int[Tensor, "B T"],
    *,
    image_token_id: int,
    attention_mask: Int[Tensor, "B T"] | None = None,
) -> list[Prompt]:
    """Return one prompt per row for `model.generate`; arguments and errors as for `published_inputs`."""
    inputs = published_inputs(vision_x, lang_x, image_token_id=image_token_id, attention_mask=attention_mask)
    images, prompts = list(inputs["images"]), []
    for row, is_own in zip(lang_x, inputs["document_ids"] >= 0, strict=True):
        ids = tuple(row[is_own].tolist())
        count = ids.count(image_token_id)
        prompts.append(Prompt(ids, tuple(images[:count])))
        images = images[count:]
    return prompts
