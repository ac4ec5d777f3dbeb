"""Does an image show what the text around it says? The cosine of its vectors by CLIP (Radford et al. 2021).

The vectors can be stored on the way, for `image_nsfw`, `image_aesthetic`, `image_watermark` and for semantic
deduplication: an image goes through CLIP once, whatever is asked of it later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from filters.models.clip import TEXT_CHARACTERS, Clip, Embeddings, clip_name, load_clip, stored_vectors
from infimm_data.document import Document, ImageNode, Measure, TextNode
from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, Level, Rule, Scorer, check_bounds
from infimm_data.text import sentences

NEARBY_SENTENCES = 8  # on each side of an image, nearest first
ALL_SENTENCES = 256  # of a document with texts="all"; bounds the work on a page of 50 MB


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """min_score: inclusive, -1..1; None keeps all and only stores the score.

    model: open_clip's name, `hf-hub:owner/name` or `local-dir:FOLDER`; pretrained: a tag or a weights file, only
    with a plain name. precision: of weights and activations. texts: what an image is compared with: "nearby" its
    alt text, its caption and the sentences of the text right before and after it (at most 8 each); "caption" alt
    text and caption; "all" these and every sentence; "none" nothing, to store vectors alone. batch_size: pictures of
    224 pixels (of larger ones fewer) and texts of 77 tokens (of shorter ones more) per call of the model.

    embeddings: what is stored of each image besides, in float16: "image" its unit vector as `embedding`; "both" also
    that of the text it fits best as `text_embedding`; "none" nothing. A vector of 768 numbers takes 1.5 KB.

    A threshold belongs to its model: MMC4 drops images below 0.15 with L/14 (Zhu et al. 2023, section 3), DataComp
    asks 0.25 of B/32. A picture without text, or that cannot be decoded, has no score and passes no threshold.
    """

    level: ClassVar[Level] = "image"
    model: str = "ViT-L-14"
    pretrained: str | None = "openai"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    texts: Literal["nearby", "caption", "all", "none"] = "nearby"
    embeddings: Embeddings = "none"
    batch_size: int = 32
    min_score: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError on a batch of nothing, and where there is nothing to measure."""
        check_bounds(self)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected at least 1")
        if self.texts == "none" and (self.min_score is not None or self.embeddings != "image"):
            raise ConfigError(
                "texts is 'none': without texts there is no score; leave min_score out and set embeddings: image"
            )

    def rules(self) -> tuple[Rule, ...]:
        """Return the threshold, if one is set."""
        return () if self.min_score is None else (AtLeast("clip_score", self.min_score, "clip_score_low"),)

    @property
    def stores_vectors_of(self) -> str | None:
        """Whose vectors are stored, None where none are."""
        return None if self.embeddings == "none" else clip_name(self.model, self.pretrained)

    def texts_for(self, document: Document, node: int) -> tuple[str, ...]:
        """Return the texts that the image at `document.nodes[node]` is compared with, each once, none empty."""
        image = document.nodes[node]
        assert isinstance(image, ImageNode)
        if self.texts == "none":
            return ()
        own = [image.alt.strip(), image.caption.strip()]
        if self.texts == "nearby":
            own += _nearby(document, node)
        elif self.texts == "all":
            own += [sentence for text in document.texts for sentence in sentences(text.text)][:ALL_SENTENCES]
        return tuple(dict.fromkeys(text[:TEXT_CHARACTERS] for text in own if text))

    def load(self, device: str) -> Scorer:
        """Load the model once, on "cpu" or "cuda"; raises ConfigError when its weights cannot be had."""
        return ClipScorer(
            load_clip(
                "clip_score",
                model=self.model,
                pretrained=self.pretrained,
                precision=self.precision,
                batch_size=self.batch_size,
                device=device,
            ),
            self.embeddings,
        )


def _nearby(document: Document, node: int) -> list[str]:
    """Return the sentences of the nearest text before and after the image, nearest first."""
    before = next((n for n in reversed(document.nodes[:node]) if isinstance(n, TextNode)), None)
    after = next((n for n in document.nodes[node + 1 :] if isinstance(n, TextNode)), None)
    found = sentences(before.text)[: -NEARBY_SENTENCES - 1 : -1] if before else []
    return found + (sentences(after.text)[:NEARBY_SENTENCES] if after else [])


@dataclass(frozen=True)
class ClipScorer:
    """A loaded CLIP that tells how well each image fits the best of its texts."""

    clip: Clip
    embeddings: Embeddings = "none"

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Any]]:
        """Return per image `clip_score`, the highest cosine over its texts, and `clip_best_text`, its position there.

        images: encoded files; texts: for each image the texts it is compared with. None for both measures where
        there is no text or the file cannot be decoded. Of equal scores the first text is named. Vectors as asked.
        """
        measured: list[Mapping[str, Any]] = []
        for look in self.clip.look(images, texts, at_all=self.embeddings != "none"):
            score: Measure = None
            best: Measure = None
            if look is not None and len(look.cosines):
                best = int(look.cosines.argmax())
                score = round(float(look.cosines[best]), 6)
            measured.append({"clip_score": score, "clip_best_text": best, **stored_vectors(look, self.embeddings)})
        return measured
