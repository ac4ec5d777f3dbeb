"""The content model: oblivious trees over the features of a page's blocks, from `weights/train_content.py`.

An oblivious tree asks the same few questions of every block, so that a page is answered by one comparison of arrays:
no compiled library is needed, and the weights are plain numbers (safetensors) and words (JSON).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipelines.html_blocks import Page
from pipelines.html_features import Floats, features
from pipelines.html_head import Head
from pipelines.html_image_features import image_features
from pipelines.html_words import Lexicon

CHUNK = 512  # rows answered at once: their answers stay in the cache of a core
WEIGHTS = Path(__file__).parent / "weights" / "content.safetensors"


@dataclass(frozen=True, slots=True)
class Trees:
    """features, thresholds: [trees * depth]; leaves: [trees, 2 ** depth]; bias: added to the sum of leaves."""

    features: NDArray[np.int64]
    thresholds: Floats
    leaves: Floats
    bias: float

    def probabilities(self, rows: Floats) -> Floats:
        """Return [rows]: the logistic of the sum over all trees; rows: [rows, features]."""
        found = [self._sums(rows[at : at + CHUNK].T) for at in range(0, len(rows), CHUNK)]
        total = np.concatenate(found or [np.zeros(0, np.float32)]) + self.bias
        return np.asarray(1 / (1 + np.exp(-total)), np.float32)

    def _sums(self, columns: Floats) -> Floats:
        """Return [rows]: the sum of the leaves that each row falls into; columns: [features, rows]."""
        trees, leaves = self.leaves.shape
        depth = leaves.bit_length() - 1
        answers = columns[self.features] > self.thresholds[:, None]
        index = np.repeat(np.arange(trees)[:, None] * leaves, columns.shape[1], axis=1)
        for bit, answer in enumerate(answers.reshape(trees, depth, -1).swapaxes(0, 1)):
            index += answer.astype(np.int64) << bit
        return np.asarray(self.leaves.ravel()[index].sum(axis=0))


@dataclass(frozen=True, slots=True)
class ContentModel:
    """lexicon: weights of the known words; text, image: the trees for blocks with text and for images."""

    lexicon: Lexicon
    text: Trees
    image: Trees

    def probabilities(self, page: Page, head: Head) -> Floats:
        """Return [blocks]: how likely each block of a page is content, images judged after the texts around them."""
        rows = features(page, head, self.lexicon)
        found = self.text.probabilities(rows)
        of_images, at = image_features(page, head, rows, found)
        if at:
            found[at] = self.image.probabilities(of_images)
        return found


@functools.lru_cache(maxsize=1)
def load_model() -> ContentModel:
    """Return the shipped model, loaded once per process."""
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    tensors = load_file(WEIGHTS)
    return ContentModel(Lexicon(card["lexicon"]), _trees(tensors, "text"), _trees(tensors, "image"))


def _trees(tensors: Mapping[str, NDArray[np.float32]], name: str) -> Trees:
    return Trees(
        features=tensors[f"{name}.features"].astype(np.int64),
        thresholds=tensors[f"{name}.thresholds"],
        leaves=tensors[f"{name}.leaves"],
        bias=float(tensors[f"{name}.bias"][0]),
    )
