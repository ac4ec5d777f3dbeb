"""The registry of filters: name in a recipe -> class. Adding a filter is one file and one line here."""

from __future__ import annotations

from typing import Any

from filters.c4_lines import C4Lines
from filters.clip_score import ClipScore
from filters.exact_duplicate_text import ExactDuplicateText
from filters.image_bytes import ImageBytes
from filters.image_count import ImageCount
from filters.image_duplicate import ImageDuplicate
from filters.image_format import ImageFormat
from filters.image_size import ImageSize
from filters.image_url import ImageUrl
from filters.language import Language
from filters.near_duplicate_text import NearDuplicateText
from filters.stored_score import StoredScore
from filters.text_length import TextLength
from filters.text_repetition import TextRepetition

FILTERS: dict[str, type[Any]] = {
    "c4_lines": C4Lines,
    "text_length": TextLength,
    "text_repetition": TextRepetition,
    "language": Language,
    "exact_duplicate_text": ExactDuplicateText,
    "near_duplicate_text": NearDuplicateText,
    "image_url": ImageUrl,
    "image_size": ImageSize,
    "image_bytes": ImageBytes,
    "image_format": ImageFormat,
    "image_count": ImageCount,
    "image_duplicate": ImageDuplicate,
    "clip_score": ClipScore,
    "stored_score": StoredScore,
}
