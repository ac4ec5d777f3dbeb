"""What a model says of a few pictures while it learns: RUN/samples.jsonl, the same pictures after each evaluation.

The pictures are of held-out documents where there are any, else of the first ones; greedy, so no random state moves.
On many ranks the first reads the pictures and writes the file, and all of them run the model in step.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from PIL import Image

from infimm_data.document import ImageNode, TextNode
from infimm_data.errors import InfiMMError, ShardError
from infimm_data.files import write_bytes
from infimm_data.image_headers import BadImage
from infimm_data.images import decode_rgb
from infimm_data.shards import SampleLocation, read_sample
from infimm_data.stream.mixture import Dataset, open_datasets
from infimm_data.stream.order import Split
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary
from model.generate import Prompt, Sampling, generate, prompt_of
from model.infimm import InfiMM, vision_of
from model.parallel import World
from model.tokenizer import Tokenizer

PICTURES = 8
TOKENS = 32  # new ones: a sentence or two
SIDE = 160  # pixels of the picture that is kept for looking at
EXCERPT = 200  # characters of the text that follows the picture in its document


class SampleCaptions:
    """Captions the same pictures whenever it is called; made once for a run."""

    def __init__(self, data: str, out: str, settings: StreamSettings, *, keeps: bool = True) -> None:
        """data: the folder of shards; out: of the run; keeps: whether the run goes on from an earlier one, of whose
        lines those of earlier steps stay. Nothing is read or written before the first call.
        """
        self._data, self._path, self._settings, self._keeps = data, Path(out) / "samples.jsonl", settings, keeps
        self._prompts: list[Prompt] | None = None
        self._lines: list[dict[str, Any]] = []

    def __call__(self, model: InfiMM, tokenizer: Tokenizer, step: int, world: World) -> None:
        """Append what the model says after `step`; lines of later steps belong to a run that was cut off, and go."""
        if self._prompts is None:
            self._prompts = self._begin(vision_of(model).image_side, tokenizer.vocabulary, world)
        if not self._prompts:
            return
        said = _captions(model, tokenizer, self._prompts)
        if world.is_first:
            earlier = [line for line in self._lines if line.get("step", 0) < step]
            self._lines = [*earlier, {"step": step, "captions": said}]
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._lines)
            write_bytes(str(self._path), text.encode())

    def _begin(self, side: int, vocabulary: Vocabulary, world: World) -> list[Prompt]:
        """Return the prompts, which the first rank makes for all."""
        prompts: list[Prompt] | InfiMMError = []
        if world.is_first:
            try:
                chosen = list(self._choose())
            except InfiMMError as error:
                prompts = error
            else:
                old = [line for line in read_samples(self._path) if self._keeps and "captions" in line]
                head = {"pictures": [{"jpeg": _small(picture), "text": text} for picture, text in chosen]}
                self._lines, template = [head, *old], self._settings.template
                prompts = [prompt_of([picture], vocabulary, side=side, template=template) for picture, _ in chosen]
        found: list[Prompt] | InfiMMError = world.gather(prompts)[0]
        if isinstance(found, InfiMMError):
            raise found
        return found

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
            if found := _first_picture(dataset, place, self._settings.max_pixels):
                count += 1
                yield found


def _captions(model: InfiMM, tokenizer: Tokenizer, prompts: list[Prompt]) -> list[str]:
    """Return the greedy continuations.

    As many tokens are generated whatever they are, and cut afterwards: ranks that each stopped at what they take for
    the end would wait for each other's weights forever if one had rounded differently.
    """
    vocabulary = tokenizer.vocabulary
    room = model.max_tokens - max(len(prompt.ids) for prompt in prompts)
    sampling = Sampling(max_new_tokens=max(0, min(TOKENS, room)), stop=())
    ends = {vocabulary.eos, vocabulary.end_of_chunk}
    said = generate(model, prompts, vocabulary, sampling)
    return [tokenizer.decode(list(takewhile(lambda token: token not in ends, ids))) for ids in said]


def _first_picture(dataset: Dataset, place: SampleLocation, max_pixels: int) -> tuple[Image.Image, str] | None:
    """Return the first picture of a document with the text that follows; None where one of them is damaged."""
    try:
        sample = read_sample(dataset.folder, place)
        nodes = sample.document.nodes
        at, node = next((at, node) for at, node in enumerate(nodes) if isinstance(node, ImageNode))
        after = next((one.text for one in nodes[at:] if isinstance(one, TextNode)), "")
        return decode_rgb(sample.files[node.file or ""], max_pixels=max_pixels), after[:EXCERPT]
    except (ShardError, BadImage, StopIteration, KeyError):
        return None  # as the stream passes it over, which counts and names it


def _small(picture: Image.Image) -> str:
    shown, written = picture.copy(), io.BytesIO()
    shown.thumbnail((SIDE, SIDE))
    shown.save(written, "JPEG", quality=72)
    return base64.b64encode(written.getvalue()).decode()


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a samples.jsonl: first the pictures, then the captions of each step; [] without one."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
