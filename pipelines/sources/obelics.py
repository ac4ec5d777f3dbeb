"""OBELICS (Laurençon et al. 2023), and tables of its shape: parallel lists of texts and image URLs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from infimm_data.document import Document, Measure
from pipelines.interleaved.lists import (
    as_list,
    as_mapping,
    document_of,
    image_node,
    interleave,
    numbers,
    per_image,
    texts_of,
)
from pipelines.records.files import Record
from pipelines.records.frame import RowSource
from pipelines.sources.contract import Skipped

END_OF_DOCUMENT = "END_OF_DOCUMENT_TOKEN_TO_BE_REPLACED"  # stands where a page of several articles begins the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Obelics(RowSource):
    """path, split, max_record_bytes: as `RowSource`; most often .parquet or .jsonl.

    From `metadata` come alt text and size of each
    image, from `general_metadata` the page's URL and, as document measures, warc_filename, warc_record_offset and
    warc_record_length. Marks between articles of one page become paragraph breaks.
    """

    kind: ClassVar[str] = "obelics"
    columns: ClassVar[tuple[str, ...]] = ("images", "texts", "metadata", "general_metadata")
    required: ClassVar[tuple[str, ...]] = ("images", "texts")

    def documents(self, record: Record) -> Iterator[Document | Skipped]:
        """Yield the document of a row."""
        general = as_mapping(record.data.get("general_metadata"))
        measures: dict[str, Measure] = {
            **texts_of(general, ("warc_filename",)),
            **numbers(general, ("warc_record_offset", "warc_record_length")),
        }
        yield from document_of(record, _nodes(record), url=general.get("url"), measures=measures)


def _nodes(record: Record) -> Iterator[Any]:
    texts, urls = as_list(record.data, "texts"), as_list(record.data, "images")
    details = per_image(record.data.get("metadata"), urls)
    images = [
        image_node(
            url,
            number,
            alt=found.get("alt_text"),
            width=found.get("rendered_width") or found.get("original_width"),
            height=found.get("rendered_height") or found.get("original_height"),
            scores={},
        )
        for number, (url, found) in enumerate(zip(urls, details, strict=True))
    ]
    yield from interleave([_without_marks(text) for text in texts], images)


def _without_marks(text: Any) -> Any:
    if not isinstance(text, str) or END_OF_DOCUMENT not in text:
        return text
    return "\n\n".join(part.strip() for part in text.split(END_OF_DOCUMENT) if part.strip())
