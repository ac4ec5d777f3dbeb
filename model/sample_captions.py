"""What a model says of a few pictures while it learns: RUN/samples.jsonl, the same pictures after each evaluation.

The pictures are of held-out documents where there are any, else of the first ones; greedy, so no random state moves.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from infimm_data.document import ImageNode, TextNode
from infimm_data.files import write_bytes
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.shards import Sample, read_sample
from infimm_data.stream.mixture import open_datasets
from infimm_data.stream.order import Split
from infimm_data.stream.settings import StreamSettings
from model.generate import Sampling, generate, prompt_of
from model.infimm import InfiMM, vision_of
from model.tokenizer import Tokenizer

PICTURES = 8
TOKENS = 32  # new ones: a sentence or two
SIDE = 160  # pixels of the picture that is kept for looking at
EXCERPT = 200  # characters of the text that follows the picture in its document


class SampleCaptions:
    """Captions the same pictures whenever it is called; made once for a run."""

    def __init__(self, data: str, out: str, settings: StreamSettings) -> None:
        """data: the folder of shards; out: of the run. Nothing is read before the first call."""
        self._data, self._path, self._settings = data, Path(out) / "samples.jsonl", settings
        self._pictures: list[Image.Image] | None = None

    def __call__(self, model: InfiMM, tokenizer: Tokenizer, step: int) -> None:
        """Append what the model says after `step`; lines of later steps belong to a run that was cut off, and go."""
        lines = [line for line in read_samples(self._path) if line.get("step", 0) < step]
        if self._pictures is None:
            chosen = list(self._choose())
            self._pictures = [picture for picture, _ in chosen]
            head = {"pictures": [{"jpeg": _small(picture), "text": text} for picture, text in chosen]}
            lines = [head, *(line for line in lines if "captions" in line)]
        if not self._pictures:
            return
        vocabulary, side = tokenizer.vocabulary, vision_of(model).image_side
        template = self._settings.template
        prompts = [prompt_of([picture], vocabulary, side=side, template=template) for picture in self._pictures]
        room = model.max_tokens - max(len(prompt.ids) for prompt in prompts)
        sampling = Sampling(max_new_tokens=max(0, min(TOKENS, room)))
        said = [tokenizer.decode(ids) for ids in generate(model, prompts, vocabulary, sampling)]
        lines.append({"step": step, "captions": said})
        write_bytes(str(self._path), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())

    def _choose(self) -> Iterator[tuple[Image.Image, str]]:
        """Yield PICTURES pictures that decode, each of another document, with the text that follows there."""
        fraction, count = self._settings.holdout_fraction, 0
        split: Split = "holdout" if fraction else "train"
        dataset = open_datasets(self._data, self._settings, split=split, epochs=None)[0]
        for place in (dataset.index.place(number) for number in range(len(dataset.index))):
            if count == PICTURES:
                return
            if not place.num_images:
                continue
            if found := _first_picture(read_sample(dataset.folder, place), self._settings.max_pixels):
                count += 1
                yield found


def _first_picture(sample: Sample, max_pixels: int) -> tuple[Image.Image, str] | None:
    nodes = sample.document.nodes
    at = next(place for place, node in enumerate(nodes) if isinstance(node, ImageNode))
    node = nodes[at]
    assert isinstance(node, ImageNode)
    after = next((one.text for one in nodes[at:] if isinstance(one, TextNode)), "")
    try:
        return decode_rgb(sample.files[node.file or ""], max_pixels=max_pixels), after[:EXCERPT]
    except BadImage:
        return None


def _small(picture: Image.Image) -> str:
    shown, written = picture.copy(), io.BytesIO()
    shown.thumbnail((SIDE, SIDE))
    shown.save(written, "JPEG", quality=72)
    return base64.b64encode(written.getvalue()).decode()


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a samples.jsonl: first the pictures, then the captions of each step; [] without one."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
