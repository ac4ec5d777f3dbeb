"""MMC4 with its pictures inside, as OpenFlamingo's conversion writes it: tars of one JSON file per document."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infimm_data.document import Document, ImageNode
from pipelines.interleaved.lists import BrokenImage, BrokenRecord, document_of, image_node, numbers
from pipelines.interleaved.matched import Assignment, place_images, read_matched
from pipelines.records.files import Record, list_items
from pipelines.records.tars import SUFFIXES, read_json_members
from pipelines.sources.contract import Skipped, WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFlamingo:
    """path: a file, a folder or a glob of .tar; each member KEY.json is an MMC4 record with `image_base64`.

    assignment: "computed" assigns images to sentences on `similarity_matrix`, as OpenFlamingo does; "stored" takes
    `matched_text_index`. min_similarity: an image whose best sentence lies below is lost; None keeps all.
    max_record_bytes: of one member (base64 makes pictures a third larger).

    Image scores: matched_sim, matched_text_index. OpenFlamingo's 10 KB and 0.24 are thresholds of the recipe.
    """

    path: str
    assignment: Assignment = "computed"
    min_similarity: float | None = None
    max_record_bytes: int = 200_000_000

    def work_items(self) -> list[WorkItem]:
        """List the tars, sorted by name; raises ConfigError where there is none."""
        return list_items(self.path, SUFFIXES, "openflamingo")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per member; raises SourceError where the file is no tar."""
        for record in read_json_members(item, self.max_record_bytes):
            if isinstance(record, Skipped):
                yield record
                continue
            measures = numbers(record.data, ("could_have_url_duplicate",))
            yield from document_of(record, self._nodes(record), url=record.data.get("url"), measures=measures)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the pictures by their nodes' URLs, in a second walk; what is no base64 as b"", no image."""
        left = set(urls)
        for record in read_json_members(item, self.max_record_bytes):
            if not left:
                return
            if isinstance(record, Skipped) or not isinstance(record.data.get("image_info"), list):
                continue
            for number, entry in enumerate(record.data["image_info"]):
                if isinstance(entry, dict) and (url := _url(entry, record, number)) in left and _holds(entry):
                    left.discard(url)
                    yield url, _decoded(entry["image_base64"])

    def _nodes(self, record: Record) -> Iterator[Any]:
        def image(entry: Mapping[str, Any], number: int) -> ImageNode | BrokenImage:
            scores = numbers(entry, ("matched_sim", "matched_text_index"))
            found = image_node(_url(entry, record, number), number, scores=scores)
            return found or BrokenImage(number, "it has no URL")

        if "is_gpt" in record.data:  # sequences that ChatGPT wrote, of another shape; OpenFlamingo mixes them in
            raise BrokenRecord("synthetic_record", "a sequence written by a language model ('is_gpt')")
        yield from place_images(read_matched(record.data, image), self.assignment, self.min_similarity)


def _holds(entry: Mapping[str, Any]) -> bool:
    return entry.get("image_base64") is not None


def _url(entry: Mapping[str, Any], record: Record, number: int) -> str:
    """Return the URL of a picture: where it was on the web, else its place in the tar."""
    url = entry.get("raw_url")
    return url.strip() if isinstance(url, str) and url.strip() else f"member:{record.offset}/{number}"


def _decoded(found: Any) -> bytes:
    if not isinstance(found, str):
        return b""
    text = found.partition(",")[2] if found.startswith("data:") else found
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""
