"""Does an image show what the text around it says? The cosine of CLIP's image and text vectors (Radford et al. 2021).

Any model that open_clip loads: a name with a pretrained tag or file, `hf-hub:owner/name`, or `local-dir:FOLDER`
with an `open_clip_config.json` and safetensors. Pictures are preprocessed as open_clip publishes the model: short
side resized by Pillow's bicubic, centre crop. They are decoded in threads while the model runs.
"""

from __future__ import annotations

import os
import pickle  # its error only; weights are read with weights_only or as safetensors
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document, ImageNode, Measure, TextNode
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import resolve
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.rules import AtLeast, Level, Rule, Scorer, check_bounds
from infimm_data.text import sentences
from infimm_data.torchvision_ops import declare_torchvision_ops

if TYPE_CHECKING:
    import torch

NEARBY_SENTENCES = 8  # on each side of an image, nearest first
ALL_SENTENCES = 256  # of a document with texts="all"; bounds the work on a page of 50 MB
TEXT_CHARACTERS = 1_000  # of one text; CLIP reads 77 tokens, less than 400 characters of English
MAX_PIXELS = 1 << 27  # of one picture; the fetch pass has its own, lower bound
MAX_ELONGATION = 100  # long / short side: resizing the short side to 336 would blow up a 10,000 x 1 strip
_BATCHES_AHEAD = 2  # decoded while the model works on one

UNMEASURED: Mapping[str, Measure] = {"clip_score": None, "clip_best_text": None}


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """min_score: inclusive, -1..1; None keeps all and only stores the score.

    model: open_clip's name, `hf-hub:owner/name` or `local-dir:FOLDER`; pretrained: a tag or a weights file, only
    with a plain name. precision: of weights and activations. texts: what an image is compared with: "nearby" its
    alt text, its caption and the sentences of the text right before and after it (at most 8 each); "caption" alt
    text and caption; "all" these and every sentence. batch_size: pictures (and texts) per call of the model.

    A threshold belongs to its model: MMC4 drops images below 0.15 with L/14 (Zhu et al. 2023, section 3), DataComp
    asks 0.25 of B/32. A picture without text, or that cannot be decoded, has no score and passes no threshold.
    """

    level: ClassVar[Level] = "image"
    model: str = "ViT-L-14"
    pretrained: str | None = "openai"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    texts: Literal["nearby", "caption", "all"] = "nearby"
    batch_size: int = 32
    min_score: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError on a batch of nothing."""
        check_bounds(self)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected at least 1")

    def rules(self) -> tuple[Rule, ...]:
        """Return the threshold, if one is set."""
        return () if self.min_score is None else (AtLeast("clip_score", self.min_score, "clip_score_low"),)

    def texts_for(self, document: Document, node: int) -> tuple[str, ...]:
        """Return the texts that the image at `document.nodes[node]` is compared with, each once, none empty."""
        image = document.nodes[node]
        assert isinstance(image, ImageNode)
        own = [image.alt.strip(), image.caption.strip()]
        if self.texts == "nearby":
            own += _nearby(document, node)
        elif self.texts == "all":
            own += [sentence for text in document.texts for sentence in sentences(text.text)][:ALL_SENTENCES]
        return tuple(dict.fromkeys(text[:TEXT_CHARACTERS] for text in own if text))

    def load(self, device: str) -> Scorer:
        """Load the model once, on "cpu" or "cuda"; raises ConfigError when its weights cannot be had."""
        declare_torchvision_ops()
        import open_clip

        name, pretrained = resolve(self.model), None if ":" in self.model else self.pretrained
        if ":" not in self.model and self.model not in (known := open_clip.list_models()):
            raise ConfigError(f"clip_score: open_clip has no model '{self.model}'.{did_you_mean(self.model, known)}")
        try:
            model, preprocess = open_clip.create_model_from_pretrained(
                name, pretrained=pretrained, precision=self.precision, device=device, weights_only=True
            )
            tokenizer = open_clip.get_tokenizer(name)
        except _load_errors() as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(
                f"clip_score: model '{self.model}' (pretrained: {pretrained}) cannot be loaded: {problem.rstrip('.')}. "
                "Give an open_clip name with a tag or a weights file in `pretrained`, or local-dir:FOLDER."
            ) from error
        model.eval()
        dtype = open_clip.get_input_dtype(self.precision)
        return ClipScorer(model, preprocess, tokenizer, device=device, dtype=dtype, batch_size=self.batch_size)


def _load_errors() -> tuple[type[Exception], ...]:
    """Return what open_clip, torch, safetensors and the hub raise on files that are not there or not a model."""
    from safetensors import SafetensorError

    return (OSError, RuntimeError, ValueError, TypeError, LookupError, pickle.UnpicklingError, SafetensorError)


def _nearby(document: Document, node: int) -> list[str]:
    """Return the sentences of the nearest text before and after the image, nearest first."""
    before = next((n for n in reversed(document.nodes[:node]) if isinstance(n, TextNode)), None)
    after = next((n for n in document.nodes[node + 1 :] if isinstance(n, TextNode)), None)
    found = sentences(before.text)[: -NEARBY_SENTENCES - 1 : -1] if before else []
    return found + (sentences(after.text)[:NEARBY_SENTENCES] if after else [])


class ClipScorer:
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

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Measure]]:
        """Return per image `clip_score`, the highest cosine over its texts, and `clip_best_text`, its position there.

        images: encoded files; texts: for each image the texts it is compared with. None for both measures where
        there is no text or the file cannot be decoded. Of equal scores the first text is named.
        """
        position = {text: at for at, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        measured: list[Mapping[str, Measure]] = [UNMEASURED] * len(images)
        todo = [at for at, some in enumerate(texts) if some]
        if not todo:
            return measured
        texts_UD = self._embed_texts(list(position))
        for batch, pixels in self._decoded(images, todo):
            cosines_NU = self._cosines(pixels, texts_UD)
            for at, cosines_U in zip(batch, cosines_NU, strict=True):
                own = cosines_U[[position[text] for text in texts[at]]]
                best = int(own.argmax())
                measured[at] = {"clip_score": round(float(own[best]), 6), "clip_best_text": best}
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
