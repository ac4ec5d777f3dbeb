"""CLIP as open_clip loads it: images and texts into unit vectors, and their cosines (Radford et al. 2021).

Any model that open_clip loads: a name with a pretrained tag or file, `hf-hub:owner/name`, or `local-dir:FOLDER`
with an `open_clip_config.json` and safetensors. Pictures are preprocessed as open_clip publishes the model: short
side resized by Pillow's bicubic, centre crop. They are decoded in threads while the model runs, large JPEGs at the
smallest scale that still has three times the model's side. Texts are padded to the longest of their batch, not to 77.
"""

from __future__ import annotations

import itertools
import os
import pickle  # its error only; weights are read with weights_only or as safetensors
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from filters.models.clip_text import TextTower
from filters.models.pixel_budget import PixelBudget
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import resolve
from infimm_data.image_headers import BadImage, read_header
from infimm_data.images import decode_rgb
from infimm_data.torchvision_ops import declare_torchvision_ops

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEXT_CHARACTERS = 1_000  # of one text; CLIP reads 77 tokens, less than 400 characters of English
MAX_PIXELS = 1 << 27  # of one picture; the fetch pass has its own, lower bound
MAX_ELONGATION = 100  # long / short side: resizing the short side to 336 would blow up a 10,000 x 1 strip
BATCH_SIDE = 224  # pixels: `batch_size` counts pictures of this side
PIXELS_AT_ONCE = 1 << 28  # in all decoding threads together: 0.8 GB, so a gallery of posters does not fill the memory
_BATCHES_AHEAD = 3  # decoded while the model works on one
_DECODE_MARGIN = 3  # x the model's side: what Pillow's `reducing_gap` calls almost indistinguishable from whole

Vector = npt.NDArray[np.float32]
Embeddings = Literal["none", "image", "both"]
"""Which vectors of an image a filter stores: none, its own, or its own and that of the text it fits best."""


@dataclass(frozen=True)
class Look:
    """What CLIP told of an image: its unit vector [D], its cosines with its texts [T], the best text's vector [D]."""

    vector: Vector
    cosines: Vector
    best_text: Vector | None


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
    # open_clip 3.3 only warns where a tag was trained with QuickGELU and the name's architecture says GELU, as
    # ViT-L-14 with openai: the weights load, and every vector is wrong.
    quick_gelu = bool(tag and open_clip.get_pretrained_cfg(name, tag).get("quick_gelu"))
    try:
        loaded, preprocess = open_clip.create_model_from_pretrained(
            name, pretrained=tag, precision=precision, device=device, weights_only=True, force_quick_gelu=quick_gelu
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


def clip_name(model: str, pretrained: str | None) -> str:
    """Return by what name vectors of a model are known; "" for one in a folder or on the hub, which may be any."""
    return "" if ":" in model else f"{model.removesuffix('-quickgelu')} {pretrained}"


def _load_errors() -> tuple[type[Exception], ...]:
    """Return what open_clip, torch, safetensors and the hub raise on files that are not there or not a model."""
    from safetensors import SafetensorError

    return (OSError, RuntimeError, ValueError, TypeError, LookupError, pickle.UnpicklingError, SafetensorError)


class Clip:
    """A loaded CLIP on one device, with the threads that decode for it."""

    def __init__(
        self,
        model: Any,
        preprocess: Any,
        tokenizer: Any,
        *,
        device: str,
        dtype: torch.dtype | None,
        batch_size: int,
    ) -> None:
        """Keep what open_clip loaded; dtype: of the model's input, None for float32.

        batch_size: pictures of 224 x 224 pixels in one call of the model; of other sizes as many as have as many
        pixels, at least 1.
        """
        self.model = model
        self.preprocess = preprocess
        # open_clip ends with ToTensor and Normalize; as both are the same for all pixels, they are done by batch, and
        # a quarter of the bytes goes to the device.
        self.resize, *self.crop, _, normalize = preprocess.transforms
        self.mean_C11, self.std_C11 = (_channels(values, device) for values in (normalize.mean, normalize.std))
        self.device = device
        self.dtype = dtype
        size = model.visual.image_size
        height, width = size if isinstance(size, tuple | list) else (size, size)
        self.reduced_side = _DECODE_MARGIN * max(height, width)
        self.images_per_batch = max(1, batch_size * BATCH_SIDE**2 // (height * width))
        self.texts = TextTower(model, tokenizer, device=device, texts_per_batch=batch_size)
        self.threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="decode")
        self.budget = PixelBudget(PIXELS_AT_ONCE)

    def look(
        self, images: Sequence[bytes], texts: Sequence[Sequence[str]], *, at_all: bool = False
    ) -> list[Look | None]:
        """Return what CLIP tells of each image; None where it cannot be decoded, or has no texts.

        images: encoded files; texts: for each image those it is compared with. Each text is embedded once per call.
        at_all: images without texts are looked at too; their cosines are empty.
        """
        position = {text: at for at, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        found: list[Look | None] = [None] * len(images)
        decoded = self._decoded(images, [at for at, some in enumerate(texts) if some or at_all])  # starts the threads
        texts_UD = self.texts.vectors(list(position))
        for batch, images_ND in self._vectors(decoded):
            for at, image_D in zip(batch, images_ND, strict=True):
                found[at] = _look(image_D, texts_UD[[position[text] for text in texts[at]]])
        return found

    def _decoded(self, images: Sequence[bytes], todo: Sequence[int]) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
        """Return the (positions, pixels [H, W, C]) of each batch's good pictures; the first are being decoded."""

        def submit(batch: Sequence[int]) -> list[tuple[int, Future[torch.Tensor | None]]]:
            return [(at, self.threads.submit(self._pixels, images[at])) for at in batch]

        size = self.images_per_batch
        batches = (todo[start : start + size] for start in range(0, len(todo), size))
        waiting = deque(submit(batch) for batch in itertools.islice(batches, 1 + _BATCHES_AHEAD))

        def rest() -> Iterator[tuple[list[int], list[torch.Tensor]]]:
            while waiting:
                done = [(at, pixels) for at, one in waiting.popleft() if (pixels := one.result()) is not None]
                waiting.extend(submit(batch) for batch in itertools.islice(batches, 1))
                if done:
                    yield [at for at, _ in done], [pixels for _, pixels in done]

        return rest()

    def _pixels(self, data: bytes) -> torch.Tensor | None:
        """Return the picture as the model sees it, [H, W, C] in uint8; None where it cannot be decoded."""
        import torch

        try:
            header = read_header(data)
            with self.budget.hold(min(header.width * header.height, MAX_PIXELS)):
                image = decode_rgb(data, max_pixels=MAX_PIXELS, enough_side=self.reduced_side)
        except BadImage:
            return None
        if max(image.size) > MAX_ELONGATION * min(image.size):
            return None
        whole = (header.height, header.width) if header.is_turned else (header.width, header.height)
        image = self._resized(image, *whole)
        for step in self.crop:
            image = step(image)
        return torch.from_numpy(np.array(image))  # a copy: torch wants memory that it may write to

    def _resized(self, image: Image.Image, width: int, height: int) -> Image.Image:
        """Return the picture as open_clip resizes it; width, height: of the whole one, if it was decoded reduced.

        A side that was halved is rounded, and the long side resized from it would be a pixel off: the crop would
        then show another part: on photos of 640 x 480 and a model of 64 pixels, scores moved by up to .06.
        """
        from torchvision.transforms.functional import resize

        resized: Image.Image
        if not isinstance(self.resize.size, int):  # to a fixed square, or to the longest side
            resized = self.resize(image)
            return resized
        size = [int(self.resize.size * side / min(width, height)) for side in (height, width)]  # as torchvision cuts
        resized = resize(image, size, self.resize.interpolation)
        return resized

    def _ready(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return a batch of the model's input, [N, C, H, W], from pictures [H, W, C]."""
        import torch

        images_NHWC = torch.stack(list(pixels))
        if self.device != "cpu":
            images_NHWC = images_NHWC.pin_memory()
        images_NCHW = images_NHWC.to(self.device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float()
        return images_NCHW.div_(255).sub_(self.mean_C11).div_(self.std_C11).to(self.dtype)

    def _vectors(self, decoded: Iterator[tuple[list[int], list[torch.Tensor]]]) -> Iterator[tuple[list[int], Vector]]:
        """Yield (positions, unit vectors [N, D]); a GPU is given the next batch before the last one is read back."""
        import torch

        under_way: tuple[list[int], torch.Tensor] | None = None
        for batch, pixels in decoded:
            with torch.inference_mode():
                images_ND = self.model.encode_image(self._ready(pixels), normalize=True).float()
            if under_way is not None:
                yield under_way[0], under_way[1].cpu().numpy()
            under_way = batch, images_ND
        if under_way is not None:
            yield under_way[0], under_way[1].cpu().numpy()


def _channels(values: Sequence[float], device: str) -> torch.Tensor:
    import torch

    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _look(image_D: Vector, texts_TD: Vector) -> Look:
    if not len(texts_TD):
        return Look(image_D, np.empty(0, dtype=np.float32), None)
    cosines_T = texts_TD @ image_D
    return Look(image_D, cosines_T, texts_TD[int(cosines_T.argmax())])


def stored_vectors(look: Look | None, which: Embeddings) -> dict[str, npt.NDArray[np.float16] | None]:
    """Return the columns `embedding` and `text_embedding` of an image, as far as they are asked for.

    float16: a component of a unit vector is off by at most 2**-12, a cosine by about 1e-4.
    """
    vectors = {
        "embedding": None if look is None else look.vector,
        "text_embedding": None if look is None else look.best_text,
    }
    names = {"none": (), "image": ("embedding",), "both": ("embedding", "text_embedding")}[which]
    return {name: None if (found := vectors[name]) is None else found.astype(np.float16) for name in names}
