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


@dataclass(frozen=True)
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

    @functools.cached_property
    def _questions(self) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """Return the questions that the trees ask, half of them more than once: feature and threshold of each, and
        [depth, trees] which of them each tree asks.
        """
        pairs = np.stack([self.features, self.thresholds])
        distinct, which = np.unique(pairs, axis=1, return_inverse=True)
        of_trees = which.reshape(len(self.leaves), -1).T
        return distinct[0].astype(np.int64), distinct[1, :, None].astype(np.float32), np.ascontiguousarray(of_trees)

    def _sums(self, columns: Floats) -> Floats:
        """Return [rows]: the sum of the leaves that each row falls into; columns: [features, rows]."""
        features, thresholds, of_trees = self._questions
        answers = (columns[features] > thresholds).view(np.uint8)
        index = answers[of_trees[0]]  # bytes: a tree asks eight questions at most
        for bit, asked in enumerate(of_trees[1:], 1):
            index |= answers[asked] << bit
        trees, leaves = self.leaves.shape
        return np.asarray(self.leaves.ravel()[index + np.arange(0, trees * leaves, leaves)[:, None]].sum(axis=0))


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
        if any(block.image is not None for block in page.blocks):
            of_images, at = image_features(page, head, rows, found)
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
