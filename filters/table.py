"""The registry of filters: name in a recipe -> class. Adding a filter is one file and one line here."""

from __future__ import annotations

from typing import Any

from filters.benchmark_image import BenchmarkImage
from filters.benchmark_text import BenchmarkText
from filters.c4_lines import C4Lines
from filters.c4_page import C4Page
from filters.clip_assignment import ClipAssignment
from filters.clip_score import ClipScore
from filters.duplicate_image_set import DuplicateImageSet
from filters.duplicate_pair import DuplicatePair
from filters.duplicate_url import DuplicateUrl
from filters.exact_duplicate_image import ExactDuplicateImage
from filters.exact_duplicate_text import ExactDuplicateText
from filters.frequent_text import FrequentText
from filters.gopher_quality import GopherQuality
from filters.image_bytes import ImageBytes
from filters.image_count import ImageCount
from filters.image_duplicate import ImageDuplicate
from filters.image_format import ImageFormat
from filters.image_heads import ImageHeads
from filters.image_loss import ImageLoss
from filters.image_size import ImageSize
from filters.image_url import ImageUrl
from filters.image_url_frequency import ImageUrlFrequency
from filters.image_url_list import ImageUrlList
from filters.language import Language
from filters.line_quality import LineQuality
from filters.near_duplicate_text import NearDuplicateText
from filters.ngram_repetition import NgramRepetition
from filters.paragraph_quality import ParagraphQuality
from filters.personal_data import PersonalData
from filters.quality_model import QualityModel
from filters.repeated_paragraph import RepeatedParagraph
from filters.semantic_duplicate import SemanticDuplicate
from filters.stored_score import StoredScore
from filters.text_composition import TextComposition
from filters.text_length import TextLength
from filters.text_repetition import TextRepetition
from filters.url_list import UrlList
from filters.words_per_image import WordsPerImage

FILTERS: dict[str, type[Any]] = {
    # edits: they stand first in a recipe
    "c4_lines": C4Lines,
    "paragraph_quality": ParagraphQuality,
    "repeated_paragraph": RepeatedParagraph,
    "personal_data": PersonalData,
    # where a document comes from
    "url_list": UrlList,
    # the text of a document
    "text_length": TextLength,
    "text_repetition": TextRepetition,
    "ngram_repetition": NgramRepetition,
    "text_composition": TextComposition,
    "gopher_quality": GopherQuality,
    "line_quality": LineQuality,
    "c4_page": C4Page,
    "language": Language,
    "quality_model": QualityModel,
    "words_per_image": WordsPerImage,
    # documents beside each other
    "duplicate_url": DuplicateUrl,
    "exact_duplicate_text": ExactDuplicateText,
    "near_duplicate_text": NearDuplicateText,
    "duplicate_image_set": DuplicateImageSet,
    "benchmark_text": BenchmarkText,
    "frequent_text": FrequentText,
    "duplicate_pair": DuplicatePair,
    # images, before and after they are fetched
    "image_url": ImageUrl,
    "image_url_frequency": ImageUrlFrequency,
    "image_url_list": ImageUrlList,
    "image_size": ImageSize,
    "image_bytes": ImageBytes,
    "image_format": ImageFormat,
    "image_count": ImageCount,
    "image_loss": ImageLoss,
    "exact_duplicate_image": ExactDuplicateImage,
    "image_duplicate": ImageDuplicate,
    "semantic_duplicate": SemanticDuplicate,
    "benchmark_image": BenchmarkImage,
    # images and their texts
    "clip_score": ClipScore,
    "clip_assignment": ClipAssignment,
    "image_heads": ImageHeads,
    # what the dump itself measured
    "stored_score": StoredScore,
}
