"""Vectors of images: what a filter that stores them, or one that measures by those stored, must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class StoresEmbeddings(Protocol):
    """A filter that scores pairs and may store the vectors it made on the way, as `embedding`."""

    @property
    def stores_vectors_of(self) -> str | None:
        """Whose vectors are stored ("" for a model without a public name), None where none are."""
        ...


class EmbeddingScorer(Protocol):
    """What reads stored vectors: plain numbers, so it travels to a worker."""

    @property
    def digests(self) -> Mapping[str, str]:
        """What its values depend on."""
        ...

    def score(self, vectors_ND: npt.NDArray[np.float16]) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return each measure of the N vectors."""
        ...


@runtime_checkable
class ScoresEmbeddings(Protocol):
    """A filter that measures images by vectors that an earlier step stored, named by `embeddings_of`."""

    embeddings_of: str

    def load_heads(self, clip: str) -> EmbeddingScorer:
        """Load what is asked of the vectors; clip: whose they are. Raises ConfigError when it cannot be had."""
        ...
