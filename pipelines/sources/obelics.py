"""OBELICS (Laurençon et al. 2023), and tables of its shape: parallel lists of texts and image URLs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from pipelines.records.rows import preview_rows, read_rows, row_items
from pipelines.sources.contract import Preview, Skipped, WorkItem

COLUMNS = ("images", "texts", "metadata", "general_metadata")
END_OF_DOCUMENT = "END_OF_DOCUMENT_TOKEN_TO_BE_REPLACED"  # stands where a page of several articles begins the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Obelics:
    """path: .parquet, .arrow (a folder that `datasets` saved) or .jsonl files: one, a folder or a glob, local or any
    fsspec URL; or "datasets:NAME#SUBSET@REVISION", which that library loads, from the hub or a local folder.

    split: for "datasets:" only; max_record_bytes: of a line of JSON. From `metadata` come alt text and size of each
    image, from `general_metadata` the page's URL and, as document measures, warc_filename, warc_record_offset and
    warc_record_length. Marks between articles of one page become paragraph breaks.
    """

    path: str
    split: str = "train"
    max_record_bytes: int = 50_000_000

    def work_items(self) -> list[WorkItem]:
        """List the files or shards, sorted by name; raises ConfigError where there is none."""
        return row_items(self.path, self.split, "obelics")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per row; raises SourceError where the file is no table or lacks texts or images."""
        for record in read_rows(item, self.split, COLUMNS, ("images", "texts"), self.max_record_bytes):
            if isinstance(record, Skipped):
                yield record
                continue
            general = as_mapping(record.data.get("general_metadata"))
            measures: dict[str, Measure] = {
                **texts_of(general, ("warc_filename",)),
                **numbers(general, ("warc_record_offset", "warc_record_length")),
            }
            yield from document_of(record, _nodes(record), url=general.get("url"), measures=measures)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing: the set holds URLs."""
        return iter(())

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell rows and columns from the footers of Parquet files, else from a sample."""
        return preview_rows(self, items)


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
