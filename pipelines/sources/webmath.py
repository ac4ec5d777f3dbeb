"""InfiMM-WebMath-40B (Han et al. 2024): mathematical web pages as parallel lists of texts and image URLs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

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
from pipelines.records.frame import RowSource
from pipelines.sources.contract import Skipped

IMAGE_LINK = "[Image_Link]"  # stands before and after the URL of an image inside a text


@dataclass(frozen=True, slots=True, kw_only=True)
class WebMath(RowSource):
    """path, split, max_record_bytes: as `RowSource`; most often .parquet or .jsonl.

    `[Image_Link]URL[Image_Link]` inside a text is
    an image at that place. Document measures: math_prob, ft_lang_prob, size, ft_lang_label.
    """

    kind: ClassVar[str] = "webmath"
    columns: ClassVar[tuple[str, ...]] = ("URL", "text_list", "image_list", "metadata")
    required: ClassVar[tuple[str, ...]] = ("text_list", "image_list")

    def documents(self, record: Record) -> Iterator[Document | Skipped]:
        """Yield the document of a row."""
        metadata = as_mapping(record.data.get("metadata"))
        measures: dict[str, Measure] = {
            **numbers(metadata, ("math_prob", "ft_lang_prob", "size")),
            **texts_of(metadata, ("ft_lang_label",)),
        }
        yield from document_of(record, _nodes(record), url=record.data.get("URL"), measures=measures)


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
