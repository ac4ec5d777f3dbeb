"""CLIP as open_clip loads it: images and texts into unit vectors, and their cosines (Radford et al. 2021).

Any model that open_clip loads: a name with a pretrained tag or file, `hf-hub:owner/name`, or `local-dir:FOLDER`
with an `open_clip_config.json` and safetensors. Pictures are preprocessed as open_clip publishes the model: short
side resized by Pillow's bicubic, centre crop. They are decoded in threads while the model runs.
"""

from __future__ import annotations

import os
import pickle  # its error only; weights are read with weights_only or as safetensors
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import resolve
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.torchvision_ops import declare_torchvision_ops

if TYPE_CHECKING:
    import torch

TEXT_CHARACTERS = 1_000  # of one text; CLIP reads 77 tokens, less than 400 characters of English
MAX_PIXELS = 1 << 27  # of one picture; the fetch pass has its own, lower bound
MAX_ELONGATION = 100  # long / short side: resizing the short side to 336 would blow up a 10,000 x 1 strip
_BATCHES_AHEAD = 2  # decoded while the model works on one


def load_clip(step: str, *, model: str, pretrained: str | None, precision: str, batch_size: int, device: str) -> Clip:
    """Load a model once, on "cpu" or "cuda"; step: the filter that asks, for messages.

    model, pretrained, precision: as open_clip takes them; a plain name needs a tag or a weights file. Raises
    ConfigError when its weights cannot be had.
    """
    declare_torchvision_ops()
    import open_clip

    name, tag = resolve(model), None if ":" in model else pretrained
    if ":" not in model and model not in (known := open_clip.list_models()):
        raise ConfigError(f"{step}: open_clip has no model '{model}'.{did_you_mean(model, known)}")
    try:
        loaded, preprocess = open_clip.create_model_from_pretrained(
            name, pretrained=tag, precision=precision, device=device, weights_only=True
        )
        tokenizer = open_clip.get_tokenizer(name)
    except _load_errors() as error:
        problem = str(error).partition("\n")[0]
        raise ConfigError(
            f"{step}: model '{model}' (pretrained: {tag}) cannot be loaded: {problem.rstrip('.')}. "
            "Give an open_clip name with a tag or a weights file in `pretrained`, or local-dir:FOLDER."
        ) from error
    loaded.eval()
    dtype = open_clip.get_input_dtype(precision)
    return Clip(loaded, preprocess, tokenizer, device=device, dtype=dtype, batch_size=batch_size)


def _load_errors() -> tuple[type[Exception], ...]:
    """Return what open_clip, torch, safetensors and the hub raise on files that are not there or not a model."""
    from safetensors import SafetensorError

    return (OSError, RuntimeError, ValueError, TypeError, LookupError, pickle.UnpicklingError, SafetensorError)


class Clip:
    """A loaded CLIP on one device, with the threads that decode for it."""

    def __init__(
        self,
        model: Any,
        preprocess: Callable[..., torch.Tensor],
        tokenizer: Any,
        *,
        device: str,
        dtype: torch.dtype | None,
        batch_size: int,
    ) -> None:
        """Keep what open_clip loaded; dtype: of the model's input, None for float32."""
        self.model = model
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="decode")

    def cosines(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float32] | None]:
        """Return the cosines of each image with each of its texts; None without texts, or where it cannot be decoded.

        images: encoded files; texts: for each image those it is compared with. Each text is embedded once per call.
        """
        position = {text: at for at, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        measured: list[npt.NDArray[np.float32] | None] = [None] * len(images)
        todo = [at for at, some in enumerate(texts) if some]
        if not todo:
            return measured
        texts_UD = self._embed_texts(list(position))
        for batch, pixels in self._decoded(images, todo):
            cosines_NU = self._cosines(pixels, texts_UD)
            for at, cosines_U in zip(batch, cosines_NU, strict=True):
                measured[at] = cosines_U[[position[text] for text in texts[at]]]
        return measured

    def _decoded(self, images: Sequence[bytes], todo: Sequence[int]) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
        """Yield (positions, pixels [C, H, W]) of each batch's good pictures, two batches decoded ahead."""
        waiting: deque[list[tuple[int, Future[torch.Tensor | None]]]] = deque()
        for start in range(0, len(todo), self.batch_size):
            batch = todo[start : start + self.batch_size]
            waiting.append([(at, self.threads.submit(self._pixels, images[at])) for at in batch])
            if len(waiting) > _BATCHES_AHEAD:
                yield from _good(waiting.popleft())
        for batch_ahead in waiting:
            yield from _good(batch_ahead)

    def _pixels(self, data: bytes) -> torch.Tensor | None:
        try:
            image = decode_rgb(data, max_pixels=MAX_PIXELS)
        except BadImage:
            return None
        if max(image.size) > MAX_ELONGATION * min(image.size):
            return None
        return self.preprocess(image)

    def _cosines(self, pixels: Sequence[torch.Tensor], texts_UD: torch.Tensor) -> npt.NDArray[np.float32]:
        """Return the cosine of each picture with each text, [N, U]."""
        import torch

        with torch.inference_mode():
            images_NCHW = torch.stack(list(pixels)).to(self.device, self.dtype)
            images_ND = self.model.encode_image(images_NCHW, normalize=True).float()
            return np.asarray((images_ND @ texts_UD.T).cpu().numpy())

    def _embed_texts(self, unique: Sequence[str]) -> torch.Tensor:
        """Return the unit vectors [U, D] of the texts, each embedded once."""
        import torch

        with torch.inference_mode():
            vectors = [
                self.model.encode_text(
                    self.tokenizer(unique[start : start + self.batch_size]).to(self.device), normalize=True
                ).float()
                for start in range(0, len(unique), self.batch_size)
            ]
        return torch.cat(vectors)


def _good(
    batch: Sequence[tuple[int, Future[torch.Tensor | None]]],
) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
    """Yield the batch without the pictures that could not be decoded, unless none is left."""
    done = [(at, pixels) for at, future in batch if (pixels := future.result()) is not None]
    if done:
        yield [at for at, _ in done], [pixels for _, pixels in done]
