"""InfiMM-WebMath-40B (Han et al. 2024): mathematical web pages as parallel lists of texts and image URLs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from infimm_data.document import Document, ImageNode, Measure, Node, TextNode
from pipelines.interleaved.lists import (
    BrokenImage,
    as_list,
    as_mapping,
    document_of,
    image_node,
    interleave,
    numbers,
    texts_of,
)
from pipelines.records.files import Record
from pipelines.records.rows import preview_rows, read_rows, row_items
from pipelines.sources.contract import Preview, Skipped, WorkItem

COLUMNS = ("URL", "text_list", "image_list", "metadata")
IMAGE_LINK = "[Image_Link]"  # stands before and after the URL of an image inside a text


@dataclass(frozen=True, slots=True, kw_only=True)
class WebMath:
    """path: .parquet, .arrow (a folder that `datasets` saved) or .jsonl files: one, a folder or a glob, local or any
    fsspec URL; or "datasets:NAME#SUBSET@REVISION", which that library loads, from the hub or a local folder.

    split: for "datasets:" only; max_record_bytes: of a line of JSON. `[Image_Link]URL[Image_Link]` inside a text is
    an image at that place. Document measures: math_prob, ft_lang_prob, size, ft_lang_label.
    """

    path: str
    split: str = "train"
    max_record_bytes: int = 50_000_000

    def work_items(self) -> list[WorkItem]:
        """List the files or shards, sorted by name; raises ConfigError where there is none."""
        return row_items(self.path, self.split, "webmath")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per row; raises SourceError where the file is no table or lacks a list."""
        for record in read_rows(item, self.split, COLUMNS, ("text_list", "image_list"), self.max_record_bytes):
            if isinstance(record, Skipped):
                yield record
                continue
            metadata = as_mapping(record.data.get("metadata"))
            measures: dict[str, Measure] = {
                **numbers(metadata, ("math_prob", "ft_lang_prob", "size")),
                **texts_of(metadata, ("ft_lang_label",)),
            }
            yield from document_of(record, _nodes(record), url=record.data.get("URL"), measures=measures)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing: the set holds URLs."""
        return iter(())

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell rows and columns from the footers of Parquet files, else from a sample."""
        return preview_rows(self, items)


def _nodes(record: Record) -> Iterator[Node | BrokenImage]:
    texts, urls = as_list(record.data, "text_list"), as_list(record.data, "image_list")
    images = [image_node(url, number, scores={}) for number, url in enumerate(urls)]
    for node in interleave(texts, images):
        if isinstance(node, TextNode) and IMAGE_LINK in node.text:
            yield from _split_links(node.text)
        else:
            yield node


def _split_links(text: str) -> Iterator[Node]:
    """Yield text and images in turn; a mark without its partner stays text."""
    parts = text.split(IMAGE_LINK)
    if len(parts) % 2 == 0:
        parts[-2:] = [f"{parts[-2]}{IMAGE_LINK}{parts[-1]}"]
    for number, part in enumerate(part.strip() for part in parts):
        if part:
            yield ImageNode(url=part) if number % 2 else TextNode(text=part)
