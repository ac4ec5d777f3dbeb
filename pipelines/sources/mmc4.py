"""MMC4 (Zhu et al. 2023), all of its variants: sentences of C4 pages and the images that go with them, by URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from infimm_data.document import Document, ImageNode
from pipelines.interleaved.lists import BrokenImage, document_of, image_node, numbers
from pipelines.interleaved.matched import Assignment, place_images, read_matched
from pipelines.records.files import Record
from pipelines.records.frame import RowSource
from pipelines.sources.contract import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmc4(RowSource):
    """path, split, max_record_bytes: as `RowSource`; most often .jsonl.zip.

    assignment: "stored" places an image before its `matched_text_index`; "computed" assigns anew on
    `similarity_matrix` (`infimm_data.assignment`), as the set itself and OpenFlamingo do. min_similarity: with
    "computed", an image whose best sentence lies below is lost (MMC4 itself asked 0.15 of CLIP L/14); None keeps
    all. Keys beyond the published ones are ignored.

    Image scores: matched_sim, matched_text_index; document measures: could_have_url_duplicate.
    """

    kind: ClassVar[str] = "mmc4"
    required: ClassVar[tuple[str, ...]] = ("text_list", "image_info")

    assignment: Assignment = "stored"
    min_similarity: float | None = None

    def documents(self, record: Record) -> Iterator[Document | Skipped]:
        """Yield the document of a record."""
        measures = numbers(record.data, ("could_have_url_duplicate",))
        yield from document_of(record, self._nodes(record), url=record.data.get("url"), measures=measures)

    def _nodes(self, record: Record) -> Iterator[Any]:
        yield from place_images(read_matched(record.data, _image), self.assignment, self.min_similarity)


def _image(entry: Mapping[str, Any], number: int) -> ImageNode | BrokenImage:
    scores = numbers(entry, ("matched_sim", "matched_text_index"))
    return image_node(entry.get("raw_url"), number, scores=scores) or BrokenImage(number, "it has no raw_url")
