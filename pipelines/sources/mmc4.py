"""MMC4 (Zhu et al. 2023), all of its variants: sentences of C4 pages and the images that go with them, by URL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.document import Document, ImageNode
from pipelines.interleaved.lists import BrokenImage, document_of, image_node, numbers
from pipelines.interleaved.matched import Assignment, place_images, read_matched
from pipelines.records.files import Record, list_items
from pipelines.records.json_lines import SUFFIXES, read_json_lines
from pipelines.records.rows import preview_rows
from pipelines.sources.contract import Preview, Skipped, WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmc4:
    """path: a file, a folder or a glob of .jsonl, .jsonl.gz, .jsonl.zip (.json too); local or any fsspec URL.

    assignment: "stored" places an image before its `matched_text_index`; "computed" assigns anew on
    `similarity_matrix` (`infimm_data.assignment`), as the set itself and OpenFlamingo do. min_similarity: with
    "computed", an image whose best sentence lies below is lost (MMC4 itself asked 0.15 of CLIP L/14); None keeps
    all. max_record_bytes: of one line. Keys beyond the published ones are ignored.

    Image scores: matched_sim, matched_text_index; document measures: could_have_url_duplicate.
    """

    path: str
    assignment: Assignment = "stored"
    min_similarity: float | None = None
    max_record_bytes: int = 50_000_000

    def work_items(self) -> list[WorkItem]:
        """List the files, sorted by name; raises ConfigError where there is none."""
        return list_items(self.path, SUFFIXES, "mmc4")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per line; raises SourceError where a zip cannot be opened."""
        for record in read_json_lines(item, self.max_record_bytes):
            if isinstance(record, Skipped):
                yield record
            else:
                yield from self._documents(record)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing: the set holds URLs."""
        return iter(())

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Sample the first file, scaled by what the files inflate to."""
        return preview_rows(self, items)

    def _documents(self, record: Record) -> Iterator[Document | Skipped]:
        measures = numbers(record.data, ("could_have_url_duplicate",))
        yield from document_of(record, self._nodes(record), url=record.data.get("url"), measures=measures)

    def _nodes(self, record: Record) -> Iterator[Any]:
        yield from place_images(read_matched(record.data, _image), self.assignment, self.min_similarity)


def _image(entry: Mapping[str, Any], number: int) -> ImageNode | BrokenImage:
    scores = numbers(entry, ("matched_sim", "matched_text_index"))
    return image_node(entry.get("raw_url"), number, scores=scores) or BrokenImage(number, "it has no raw_url")
