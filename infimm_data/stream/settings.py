"""Settings of the stream: what changes the sequence of rows, and so belongs to its fingerprint."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infimm_data.config import Settings
from infimm_data.stream.templates import TemplateName


class SourceSettings(Settings):
    """One dataset of `stream.mixture`."""

    shards: str = Field(min_length=1)
    """Its folder of shards: a path below --data, an absolute path, or a URL."""
    weight: float | None = Field(default=None, gt=0)
    """Against the other datasets', in the unit of `weights_by`. None: its size in documents, or in words."""
    epochs: int | None = Field(default=None, ge=1)
    """How often it is read before it drops out; None: as `stream.epochs` says."""
    loss_weight: float = Field(default=1.0, ge=0)
    """What the loss of its tokens counts (OpenFlamingo: MMC4 1.0, LAION pairs 0.2)."""


class StreamSettings(Settings):
    """The `stream` section of a training recipe. The row sequence is a pure function of these and the shards."""

    row_tokens: int = Field(default=1024, ge=8)
    """T: tokens per row, padding included."""
    max_images: int | None = Field(default=None, ge=1)
    """Images per row at most: bounds the memory of a step. Longer documents are cut before an image."""
    image_cost: float = Field(default=10.0, ge=0)
    """What an image costs in text tokens, so that rows and ranks cost alike: 10 for EVA02-L at 336 pixels beside Zephyr
    (436 GFLOP an image, 45 a token, forward and backward), 72 for EVA02-E beside Vicuna-7B (2,298 and 32)."""
    seed: int = Field(default=0, ge=0)
    window_documents: int = Field(default=256, ge=1)
    """Documents that are packed together. Larger fills rows better and costs more to resume: one window."""
    min_fill: float = Field(default=0.95, ge=0, le=1)
    """Share of the slots that is not padding: where packing leaves more, documents are cut at sentences. 0: never."""
    mixture: dict[str, SourceSettings] = Field(default_factory=dict)
    """Datasets by name, mixed document by document. Empty: the shards of --data alone."""
    weights_by: Literal["sample", "token"] = "sample"
    """What the weights of the mixture are shares of: documents, or tokens."""
    temperature: float = Field(default=1.0, gt=0)
    """Above 1 evens the weights of the mixture out: weight ** (1 / temperature)."""
    epochs: int | None = Field(default=None, ge=1)
    """How often each dataset is read; after it the dataset drops out, and after the last one the stream ends. None:
    again and again, each epoch in another order."""
    holdout_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the documents, chosen by their id alone, that training never sees."""
    images: bool = True
    """False: the text-only twin. The same tokens in the same rows, `<image>` tokens included, but no images."""
    loss_before_first_image: bool = True
    """False: no loss on what precedes the first image of a document that has images (OpenFlamingo, MMC4)."""
    template: TemplateName = "plain"
    """How a document with roles is written: plain knows no roles; zephyr, vicuna and llama2 are chat templates."""
    max_pixels: int = Field(default=64_000_000, ge=1)
    """Largest width x height that is decoded; a larger image is a broken one."""
    max_bad_in_a_row: int = Field(default=20, ge=1)
    """This many broken documents, or images, one after the other stop the run."""
