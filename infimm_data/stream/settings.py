"""Settings of the stream: what changes the sequence of rows, and so belongs to its fingerprint."""

from __future__ import annotations

from pydantic import Field

from infimm_data.config import Settings
from infimm_data.stream.templates import TemplateName


class StreamSettings(Settings):
    """The `stream` section of a training recipe. The row sequence is a pure function of these and the shards."""

    row_tokens: int = Field(default=1024, ge=8)
    """T: tokens per row, padding included."""
    seed: int = Field(default=0, ge=0)
    window_documents: int = Field(default=256, ge=1)
    """Documents that are packed together. Larger fills rows better and costs more to resume: one window."""
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
