"""Does an image show what the text around it says? The cosine of its vectors by CLIP (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from filters.models.clip import TEXT_CHARACTERS, Clip, load_clip
from infimm_data.document import Document, ImageNode, Measure, TextNode
from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, Level, Rule, Scorer, check_bounds
from infimm_data.text import sentences

NEARBY_SENTENCES = 8  # on each side of an image, nearest first
ALL_SENTENCES = 256  # of a document with texts="all"; bounds the work on a page of 50 MB

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
        return ClipScorer(
            load_clip(
                "clip_score",
                model=self.model,
                pretrained=self.pretrained,
                precision=self.precision,
                batch_size=self.batch_size,
                device=device,
            )
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

    def score(self, images: Sequence[bytes], texts: Sequence[Sequence[str]]) -> list[Mapping[str, Measure]]:
        """Return per image `clip_score`, the highest cosine over its texts, and `clip_best_text`, its position there.

        images: encoded files; texts: for each image the texts it is compared with. None for both measures where
        there is no text or the file cannot be decoded. Of equal scores the first text is named.
        """
        measured: list[Mapping[str, Measure]] = []
        for cosines in self.clip.cosines(images, texts):
            if cosines is None:
                measured.append(UNMEASURED)
            else:
                best = int(cosines.argmax())
                measured.append({"clip_score": round(float(cosines[best]), 6), "clip_best_text": best})
        return measured
