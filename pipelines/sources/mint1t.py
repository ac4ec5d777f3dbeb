"""MINT-1T (Awadalla et al. 2024): PDF documents in tars, their pictures in TIFF files; HTML documents in tables.

Fields in the tars as the viewer of mlfoundations/MINT-1T-PDF-CC-2023-23 on huggingface.co shows them: `images` is
["page_0_image_85", null] beside `image_metadata` [{height, page, sha256, width, xref}]. In the tables (MINT-1T-HTML,
data_v1_1) as those who read them say (TieuDaoChanNhan/finevideo-vla, tools/extract/extract_mint1t_manifest.py): texts,
images (URLs), image_hashes, images_metadata, metadata, url, cc_dump, where what is said of images is of the shown ones
alone. NeMo Curator writes its interleaved sets in the tars' layout with each picture a member: ["KEY.1.jpg", null].
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.document import Document, ImageNode, Measure
from infimm_data.tiff import png_frames
from pipelines.interleaved.lists import (
    BrokenImage,
    as_list,
    as_mapping,
    document_of,
    image_node,
    interleave,
    numbers,
    per_image,
)
from pipelines.preview import sampled
from pipelines.records.files import Record, list_items
from pipelines.records.frame import preview_rows
from pipelines.records.rows import RowFormat, read_rows
from pipelines.records.tars import SUFFIXES as TAR_SUFFIXES
from pipelines.records.tars import Member, read_json_members, read_members, split_name
from pipelines.records.values import as_number
from pipelines.sources.contract import Preview, Skipped, WorkItem

SUFFIXES = (*TAR_SUFFIXES, ".parquet")
COLUMNS = ("texts", "images", "image_metadata", "images_metadata", "url")
_FRAME = re.compile(r"member:(?P<key>.+)\.tiff?#(?P<frame>\d{1,9})", re.DOTALL)
_WHOLE = re.compile(r"member:(?P<name>.+)", re.DOTALL)
_PICTURES = frozenset(("jpg", "jpeg", "png", "webp", "gif", "bmp", "avif"))  # what a member's name may end in
_TIFFS = frozenset(("tiff", "tif"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mint1t:
    """path: .tar files (KEY.json beside KEY.tiff) or .parquet files: one, a folder or a glob, local or fsspec URL.

    In a tar the k-th entry of `images` that is no null is the k-th frame of the TIFF, and becomes a PNG with the
    same pixels; one that ends as a picture's file name does is that member of the tar, as it came (of a TIFF its first
    frame); an http URL (HTML documents) is fetched instead. max_record_bytes: of a JSON member; max_tiff_bytes: of a
    TIFF or another picture; max_image_pixels: of one frame; max_frames: of one document, further images
    are lost (the set itself stops at 50 pages and 30 images of a page).

    Document measures: the set's n-gram and word counts and the probability of its language.
    """

    path: str
    max_record_bytes: int = 50_000_000
    max_tiff_bytes: int = 500_000_000
    max_image_pixels: int = 100_000_000
    max_frames: int = 1_000

    def work_items(self) -> list[WorkItem]:
        """List the files, sorted by name; raises ConfigError where there is none."""
        return list_items(self.path, SUFFIXES, "mint1t")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per JSON member or row; raises SourceError where the file is no tar and no table."""
        for record in self._records(item):
            if isinstance(record, Skipped):
                yield record
                continue
            nodes = self._nodes(record)
            yield from document_of(record, nodes, url=record.data.get("url"), measures=_measures(record.data))

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield frames as PNG and members as they are, by their nodes' URLs; b"", no image, for what cannot be read."""
        frames: dict[str, dict[int, str]] = defaultdict(dict)
        whole: dict[str, str] = {}
        for url in urls:
            if (match := _FRAME.fullmatch(url)) is not None:
                frames[match["key"]][int(match["frame"])] = url
            elif (match := _WHOLE.fullmatch(url)) is not None:
                whole[match["name"]] = url
        if frames or whole:

            def is_wanted(key: str, suffix: str) -> bool:
                return f"{key}.{suffix}" in whole or _stem_of_tiff(f"{key}.{suffix}") in frames

            for member in read_members(item, is_wanted, self.max_tiff_bytes):
                if isinstance(member, Member):
                    name = f"{member.key}.{member.suffix}"
                    if (url := whole.pop(name, "")) != "":
                        yield url, member.data
                    elif (wanted := frames.pop(_stem_of_tiff(name), None)) is not None:
                        for frame, png in png_frames(member.data, wanted, max_pixels=self.max_image_pixels):
                            yield wanted[frame], png
        for left in (*whole.values(), *(url for wanted in frames.values() for url in wanted.values())):
            yield left, b""  # it is not there, or could not be read

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell rows and columns from the footers of Parquet files; sample tars."""
        if items and not items[0].name.lower().endswith(TAR_SUFFIXES):
            return preview_rows(self, items, self._format())
        return sampled(self, items)

    def _records(self, item: WorkItem) -> Iterator[Record | Skipped]:
        if item.name.lower().endswith(TAR_SUFFIXES):
            return read_json_members(item, self.max_record_bytes)
        return read_rows(item, self._format())

    def _format(self) -> RowFormat:
        return RowFormat(columns=COLUMNS, required=("texts", "images"), max_bytes=self.max_record_bytes)

    def _nodes(self, record: Record) -> Iterator[Any]:
        texts, entries = as_list(record.data, "texts"), as_list(record.data, "images")
        found = _details(record.data, entries)
        images: list[ImageNode | BrokenImage | None] = []
        frame = 0
        for number, entry in enumerate(entries):
            if entry is None:
                images.append(None)
                continue
            known = found[frame] if frame < len(found) else {}
            images.append(self._image(record.key, number, entry, frame, known))
            frame += 1
        yield from interleave(texts, images)

    def _image(
        self, key: str, number: int, entry: Any, frame: int, known: Mapping[str, Any]
    ) -> ImageNode | BrokenImage | None:
        if isinstance(entry, str) and not entry.lower().startswith(("http://", "https://")):
            if not key:
                return BrokenImage(number, "it names a picture of a tar, but the row is of a table")
            name = _member_named(entry)
            if name is None and frame >= self.max_frames:
                return BrokenImage(number, f"frame {frame}; at most {self.max_frames} are read of a document")
            entry = name or f"member:{key}.tiff#{frame}"
        size = {"width": known.get("width"), "height": known.get("height")}
        return image_node(entry, number, scores=numbers(known, ("page",)) if known and key else {}, **size)


def _details(data: Mapping[str, Any], entries: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return what a record tells of each image that is shown, in their order."""
    if "image_metadata" in data:
        found = data["image_metadata"]
        return [as_mapping(one) for one in found] if isinstance(found, list) else []
    known = per_image(data.get("images_metadata"), entries)
    return [one for one, entry in zip(known, entries, strict=True) if entry is not None]


def _member_named(entry: str) -> str | None:
    """Return the URL of a member that an entry names; None where it does not end as a picture's file name."""
    key, suffix = split_name(entry)
    name = f"{key}.{suffix}"
    if stem := _stem_of_tiff(name):
        return f"member:{stem}.tiff#0"
    return f"member:{name}" if suffix.rpartition(".")[2] in _PICTURES else None


def _stem_of_tiff(name: str) -> str:
    """Return the name of a TIFF without its ending, "" for another file."""
    stem, _, ending = name.rpartition(".")
    return stem if ending in _TIFFS else ""


def _measures(data: Mapping[str, Any]) -> dict[str, Measure]:
    """Return the counts of a record; `language_id_whole_page_fasttext` is {language: probability}."""
    languages = as_mapping(data.get("language_id_whole_page_fasttext"))
    sure = [number for found in languages.values() if (number := as_number(found)) is not None]
    counts = numbers(data, ("bff_contained_ngram_count_before_dedupe", "previous_word_count"))
    return {**counts, "language_prob": max(sure, default=None)}
