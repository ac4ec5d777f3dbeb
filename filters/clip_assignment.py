"""Which sentence of its document does an image go with? MMC4's linear assignment on CLIP's cosines (Zhu et al. 2023).

Cost: every sentence of a document with images is embedded, about 30 texts for 5 images of a page, so that scoring
takes up to twice the time of `clip_score`; the assignment itself takes 0.1 ms for such a page. Each pair's cosine
is stored, so that a changed bound, or an image that a step before it drops, asks no model again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from filters.models.clip import TEXT_CHARACTERS, Clip, Embeddings, clip_name, load_clip, stored_vectors
from infimm_data.assignment import assign_images, sentences_before, sentences_of
from infimm_data.document import Document, Measure, TextNode
from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, Level, Rule, Scorer, check_bounds

MAX_SENTENCES = 256  # of a document, from its beginning; bounds the work on a page of 50 MB
_STORED = "<f4"  # a cosine as float32 in little endian, on every machine


@dataclass(frozen=True, kw_only=True)
class ClipAssignment:
    """min_similarity: of an image with its best sentence; images below take no part in the assignment and are
    dropped. min_assigned: of an image with the sentence assigned to it. Both inclusive, -1..1; None is off.

    order: "reading" leaves the images where the page has them; "assignment" puts each right before its sentence in
    the packed document. model, pretrained, precision, embeddings, batch_size: as in `clip_score`.

    Stored per image: sentence_score (best sentence), assigned_sentence (counted from 0 over the document's texts),
    assigned_score, assigned_beside (1: it is the last sentence before or the first after the image in reading
    order); per document assignment_agreement, the share of its assigned images of which that is so. MMC4 asks 0.15
    of L/14 as min_similarity (section 3); OpenFlamingo 0.24 as min_assigned.
    """

    level: ClassVar[Level] = "image"
    model: str = "ViT-L-14"
    pretrained: str | None = "openai"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    embeddings: Embeddings = "none"
    batch_size: int = 32
    min_similarity: float | None = None
    min_assigned: float | None = None
    order: Literal["reading", "assignment"] = "reading"

    def __post_init__(self) -> None:
        """Raise ConfigError on a batch of nothing."""
        check_bounds(self)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected at least 1")

    def rules(self) -> tuple[Rule, ...]:
        """Return the thresholds that are set."""
        fits = AtLeast("sentence_score", self.min_similarity or 0.0, "no_sentence_fits")
        assigned = AtLeast("assigned_score", self.min_assigned or 0.0, "assigned_score_low")
        return (
            *((fits,) if self.min_similarity is not None else ()),
            *((assigned,) if self.min_assigned is not None else ()),
        )

    @property
    def stores_vectors_of(self) -> str | None:
        """Whose vectors are stored, None where none are."""
        return None if self.embeddings == "none" else clip_name(self.model, self.pretrained)

    def texts_for(self, document: Document, node: int) -> tuple[str, ...]:
        """Return the document's sentences, from the first."""
        texts = {position: text.text for position, text in enumerate(document.nodes) if isinstance(text, TextNode)}
        spans = sentences_of(document, MAX_SENTENCES)
        return tuple(texts[position][start:end][:TEXT_CHARACTERS] for position, start, end in spans)

    def load(self, device: str) -> Scorer:
        """Load the model once, on "cpu" or "cuda"; raises ConfigError when its weights cannot be had."""
        return SentenceScorer(
            load_clip(
                "clip_assignment",
                model=self.model,
                pretrained=self.pretrained,
                precision=self.precision,
                batch_size=self.batch_size,
                device=device,
            ),
            self.embeddings,
        )

    def assign(self, document: Document, scores: Mapping[int, bytes]) -> dict[int, dict[str, Measure]]:
        """Return the sentence of each image, and whether the page has it beside the image."""
        images = sorted(scores)
        if not images:
            return {}
        matrix = np.stack([np.frombuffer(scores[image], dtype=_STORED) for image in images])
        sentences = sentences_of(document)  # all: what stands beside an image may be beyond the compared ones
        found: dict[int, dict[str, Measure]] = {}
        for image, row, place in zip(images, matrix, assign_images(matrix, self.min_similarity), strict=True):
            if place is not None:
                before = sentences_before(document, image, sentences)
                found[image] = {
                    "assigned_sentence": place,
                    "assigned_score": round(float(row[place]), 6),
                    "assigned_beside": int(place in (before - 1, before)),
                }
        return found


@dataclass(frozen=True)
class SentenceScorer:
    """A loaded CLIP that tells the cosine of each image with every sentence of its document."""

    clip: Clip
    embeddings: Embeddings = "none"

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Any]]:
        """Return per image `sentence_score`, the highest cosine, and `similarities`, all of them as bytes, or None."""
        measured: list[Mapping[str, Any]] = []
        for look in self.clip.look(images, texts, at_all=self.embeddings != "none"):
            cosines = look.cosines if look is not None and len(look.cosines) else None
            measured.append(
                {
                    "sentence_score": None if cosines is None else round(float(cosines.max()), 6),
                    "similarities": None if cosines is None else cosines.astype(_STORED).tobytes(),
                    **stored_vectors(look, self.embeddings),
                }
            )
        return measured
