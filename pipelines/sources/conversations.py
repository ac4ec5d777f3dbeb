"""Conversations with images (LLaVA, ShareGPT, OpenAI messages): every row is a document whose nodes have roles."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.document import Document, Node, Origin, TextNode, new_document
from infimm_data.errors import ConfigError
from pipelines.annotations.conversations import (
    IMAGES,
    PLACEHOLDER,
    NotAConversation,
    first_key,
    names_shown,
    nodes_of,
    read_conversation,
    record_of,
)
from pipelines.annotations.fixes import fix_row
from pipelines.annotations.image_folder import ImageFolder
from pipelines.annotations.reading import answered, rows_format
from pipelines.records.files import Record, list_items
from pipelines.records.frame import preview_rows
from pipelines.records.json_lines import SUFFIXES
from pipelines.sources.contract import Answer, Fixed, Preview, Skipped, WorkItem


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """path: a .json list or .jsonl lines of rows, a folder or a glob of such files (also .gz); local or fsspec URL.

    images: the folder (local, an fsspec URL, or an http address) below which the rows' image names lie; None is the
    annotation file's own. fix: mend rows where that is safe (`pipelines.annotations.fixes`), leave out a row that
    repeats an earlier one of its file, and take a.gif where a.jpg is missing; each change is counted. That remembers
    8 bytes of every row. Without it a row is read as it stands. placeholder: what stands in a text for an image.
    max_image_bytes: larger image files are none.
    """

    path: str
    images_root: str | None = None
    fix: bool = False
    placeholder: str = PLACEHOLDER
    max_image_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        """Raise ConfigError on a placeholder that stands everywhere."""
        if not self.placeholder:
            raise ConfigError("placeholder is empty; write what stands for an image in the texts, e.g. <image>")

    def work_items(self) -> list[WorkItem]:
        """List the annotation files, sorted by name; raises ConfigError where there is none."""
        return list_items(self.path, SUFFIXES, "conversations")

    def read(self, item: WorkItem) -> Iterator[Answer]:
        """Yield a document for each row; raises SourceError where the file holds none.

        Left out, by reason: what is no conversation (`not_an_object`, `no_conversation`, `bad_turn`, `unknown_role`,
        `bad_image_list`, `other_media`, `not_json`), `placeholder_mismatch`, `unsafe_image_name`, and with `fix`
        also `repeated_row`, `empty_answer` and `no_answer`.
        """
        return answered(item, None, _Reading(self, item).answers)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (name, image file) of the wanted images that lie in the folder, or in the row as a `data:` URI."""
        return self.folder(item).read(urls, self.max_image_bytes)

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell what the beginning of the first file holds, extrapolated."""
        return preview_rows(self, items, rows_format(None))

    def folder(self, item: WorkItem) -> ImageFolder:
        """Return the folder of the images of an annotation file."""
        return ImageFolder(self.images_root or posixpath.dirname(item.path) or ".")


class _Reading:
    """Reads the rows of one file; remembers which it has seen."""

    def __init__(self, source: Conversations, item: WorkItem) -> None:
        self._source, self._item = source, item
        self._folder = source.folder(item)
        self._seen: set[int] = set()

    def answers(self, row: Record) -> Iterator[Answer]:
        """Yield what becomes of a row."""
        name = _name_of(row.data)
        fixed: list[tuple[str, str]] = []
        try:
            if self._source.fix:
                fixed = [*fix_row(row.data, self._source.placeholder), *self._fix_names(row.data)]
            nodes, record = self._read(row.data)
        except NotAConversation as problem:
            yield Skipped(reason=problem.reason, offset=row.offset, url=name, detail=str(problem))
            return
        if self._source.fix and self._is_repeated(nodes):
            yield Skipped(reason="repeated_row", offset=row.offset, url=name, detail="an earlier row is the same")
            return
        for reason, what in fixed:
            yield Fixed(reason=reason, offset=row.offset, url=name, detail=what)
        document = new_document(nodes, Origin(dump=self._item.name, offset=row.offset, url=name))
        yield Document(id=document.id, nodes=nodes, origin=document.origin, record=record)

    def _read(self, row: Any) -> tuple[tuple[Node, ...], str]:
        conversation = read_conversation(row, self._source.placeholder)
        urls = []
        for name in names_shown(conversation):
            url = self._folder.url(name)
            if url is None:
                raise NotAConversation("unsafe_image_name", self._folder.refusal(name))
            urls.append(url)
        return nodes_of(conversation, urls), record_of(conversation, self._source.placeholder)

    def _fix_names(self, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Name the file that is there where only its suffix is another (LLaVA #601: OCR-VQA's GIFs)."""
        key = first_key(row, IMAGES)
        names = row[key] if key else None
        for number, name in enumerate([names] if isinstance(names, str) else names or []):
            if (other := self._folder.other_suffix(name)) is not None:
                if isinstance(names, list):
                    names[number] = other
                else:
                    row[str(key)] = other
                yield "image_suffix", f"{name} is missing, {other} is there"

    def _is_repeated(self, nodes: Sequence[Node]) -> bool:
        said = "\n".join(f"{node.role} {node.text if isinstance(node, TextNode) else node.url}" for node in nodes)
        digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        is_repeated = number in self._seen
        self._seen.add(number)
        return is_repeated


def _name_of(row: Any) -> str:
    """Return what a row calls itself, "" where it does not."""
    found = row.get("id") if isinstance(row, dict) else None
    return str(found) if isinstance(found, str | int) else ""
