"""Instructions with an input and an output (M3IT, Alpaca with images): each row one question and its answer.

M3IT's files differ by task in what its loader reads of them (M3IT.py at huggingface.co/datasets/MMInstruction/M3IT,
commits 5b83b7c, 528f30c, f78770f): input or inputs, output, outputs or answer; the image in image_base64_str,
image_str or img_str; and where the answers were rephrased, all but the answer below `meta`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import posixpath
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import Document, Origin, Role, new_document
from infimm_data.files import exists, join, read_bytes
from pipelines.annotations.conversations import (
    PLACEHOLDER,
    Conversation,
    NotAConversation,
    Turn,
    first_key,
    image_names,
    names_shown,
    nodes_of,
    record_of,
    split_text,
)
from pipelines.annotations.image_folder import ImageFolder
from pipelines.annotations.reading import annotation_rows, answered, rows_format
from pipelines.records.files import Record, list_items
from pipelines.records.frame import preview_rows
from pipelines.records.json_lines import SUFFIXES
from pipelines.sources.contract import Answer, Preview, Skipped, WorkItem

BASE64 = ("image_base64_str", "image_str", "img_str")
INPUT = ("inputs", "input")
OUTPUT = ("outputs", "output", "answer")
_SPEAKERS: tuple[Role, Role] = ("user", "assistant")
_INLINE = "base64:"
"""Before the digest that names an image which lies in its row: a URL that no web has."""


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """path: .jsonl lines or a .json list of rows, a folder or a glob of such files (also .gz); local or fsspec URL.

    A row holds instruction, inputs or input, outputs or output, and images: in base64 (image_base64_str, a text or a
    list), or names of files (image, images). instructions: name of a file beside each of these with a JSON list of
    instructions; a row without its own gets one of them, always the same one; None is off. images_root: the folder
    of named images; None is the annotation file's own. max_image_bytes: larger images are none.
    """

    path: str
    instructions: str | None = "instructions.json"
    images_root: str | None = None
    max_image_bytes: int = 20_000_000

    def work_items(self) -> list[WorkItem]:
        """List the files, sorted by name, but those of instructions; raises ConfigError where there is none."""
        items = [
            item
            for item in list_items(self.path, SUFFIXES, "instructions")
            if posixpath.basename(item.name) != self.instructions
        ]
        return [
            replace(item, index=index, beside=tuple(path for path in (self._beside(item),) if path))
            for index, item in enumerate(items)
        ]

    def read(self, item: WorkItem) -> Iterator[Answer]:
        """Yield a document for each row; raises SourceError where the file holds none.

        Left out, by reason: `not_an_object`, `bad_turn`, `bad_image_list`, `no_answer`, `placeholder_mismatch`,
        `unsafe_image_name`.
        """
        return answered(item, None, _Reading(self, item).answers)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (URL, image file) of the wanted images; for those in base64 the file is read again."""
        named = [url for url in urls if not url.startswith(_INLINE)]
        yield from self.folder(item).read(named, self.max_image_bytes)
        wanted = {url for url in urls if url.startswith(_INLINE)}
        if not wanted:
            return
        for row in annotation_rows(item):
            for text in _inline(_flat(row.data)) if isinstance(row, Record) else ():
                if (url := _inline_url(text)) in wanted:
                    wanted.discard(url)
                    yield url, _decoded(text, self.max_image_bytes)

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell what the beginning of the first file holds, extrapolated."""
        return preview_rows(self, items, rows_format(None))

    def folder(self, item: WorkItem) -> ImageFolder:
        """Return the folder of the named images of an annotation file."""
        return ImageFolder(self.images_root or posixpath.dirname(item.path) or ".")

    def choices(self, item: WorkItem) -> list[str]:
        """Return the instructions that lie beside a file; [] where there are none."""
        path = self._beside(item)
        try:
            found = json.loads(read_bytes(path)) if path else []
        except ValueError:
            found = []
        found = [one for value in found.values() for one in _listed(value)] if isinstance(found, dict) else found
        return [one for one in _listed(found) if isinstance(one, str) and one.strip()]

    def _beside(self, item: WorkItem) -> str | None:
        if self.instructions is None:
            return None
        path = join(posixpath.dirname(item.path) or ".", self.instructions)
        return path if exists(path) else None


class _Reading:
    """Reads the rows of one file."""

    def __init__(self, source: Instructions, item: WorkItem) -> None:
        self._item = item
        self._folder = source.folder(item)
        self._choices = source.choices(item)

    def answers(self, row: Record) -> Iterator[Answer]:
        """Yield what becomes of a row."""
        row = replace(row, data=_flat(row.data))
        try:
            conversation, inline = self._read(row)
            names = names_shown(conversation)
            urls = [name if inline else self._folder.url(name) for name in names]
            if None in urls:
                raise NotAConversation("unsafe_image_name", self._folder.refusal(names[urls.index(None)]))
            nodes = nodes_of(conversation, [url for url in urls if url is not None])
            record = "" if inline or not row.data.get("instruction") else record_of(conversation)
        except NotAConversation as problem:
            yield Skipped(reason=problem.reason, offset=row.offset, detail=str(problem))
            return
        document = new_document(nodes, Origin(dump=self._item.name, offset=row.offset))
        yield Document(id=document.id, nodes=nodes, origin=document.origin, record=record)

    def _read(self, row: Record) -> tuple[Conversation, bool]:
        """Return a row as a conversation of one exchange, and whether its images lie in the row."""
        if not isinstance(row.data, dict):
            raise NotAConversation("not_an_object", f"found {type(row.data).__name__}, expected an object")
        inline = [_inline_url(text) for text in _inline(row.data)]
        images = inline or image_names(row.data)
        asked = [(name, row.data[name]) for name in ("instruction", first_key(row.data, INPUT)) if row.data.get(name)]
        if not row.data.get("instruction") and self._choices:
            asked = [("instruction", self._choice(row.offset)), *asked]
        outputs = first_key(row.data, OUTPUT)
        answer = row.data[outputs] if outputs else None
        if not isinstance(answer, str) or not answer.strip():
            raise NotAConversation("no_answer", f"{outputs or 'outputs'} is {str(answer)[:40]!r}, expected a text")
        turns = [*_earlier(row.data), _question(asked), Turn("assistant", (answer,), (([str(outputs)], 1),))]
        conversation = Conversation(row.data, turns, images)
        if images and not conversation.num_placeholders:  # no place for the images: they come first
            first = next(number for number, turn in enumerate(turns) if turn.role == "user")
            shown = Turn("user", (None,) * len(images), (([], 1),) * len(images))
            turns.insert(first, shown)
        return conversation, bool(inline)

    def _choice(self, offset: int) -> str:
        digest = hashlib.blake2b(f"{self._item.name}\n{offset}".encode(), digest_size=8).digest()
        return self._choices[int.from_bytes(digest, "big") % len(self._choices)]


def _question(asked: Sequence[tuple[Any, Any]]) -> Turn:
    pieces: list[str | None] = []
    texts: list[tuple[list[str | int], int]] = []
    for name, text in asked:
        if not isinstance(text, str):
            raise NotAConversation("bad_turn", f"'{name}' is {type(text).__name__}, expected a text")
        found = split_text(text, PLACEHOLDER)
        pieces += found
        texts.append(([name], len(found)))
    return Turn("user", tuple(pieces), tuple(texts))


def _earlier(row: dict[str, Any]) -> list[Turn]:
    """Return the system prompt and the earlier questions and answers of an Alpaca row."""
    turns: list[Turn] = []
    if isinstance(row.get("system"), str) and row["system"]:
        turns.append(Turn("system", (row["system"],), ((["system"], 1),)))
    history = row.get("history") or []
    pairs = [pair for pair in history if isinstance(pair, list)] if isinstance(history, list) else []
    texts = [text for pair in pairs for text in pair if isinstance(text, str)]
    if not isinstance(history, list) or len(pairs) != len(history) or len(texts) != 2 * len(pairs):
        raise NotAConversation("bad_turn", f"history is {str(history)[:80]}, expected pairs of texts")
    for number, pair in enumerate(pairs):
        for at, role in enumerate(_SPEAKERS):
            pieces = split_text(pair[at], PLACEHOLDER)
            turns.append(Turn(role, pieces, ((["history", number, at], len(pieces)),)))
    return turns


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _flat(row: Any) -> Any:
    """Return a row with what stands below `meta` beside the rest, where its images stand there."""
    meta = row.get("meta") if isinstance(row, dict) else None
    is_below = isinstance(meta, dict) and first_key(meta, BASE64) is not None and first_key(row, BASE64) is None
    return {**meta, **row} if isinstance(meta, dict) and is_below else row


def _inline(row: Any) -> list[str]:
    """Return the base64 texts of a row's images; [] where it has none."""
    name = first_key(row, BASE64) if isinstance(row, dict) else None
    return [text for text in _listed(row[name]) if isinstance(text, str) and text] if name else []


def _inline_url(text: str) -> str:
    return _INLINE + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _decoded(text: str, max_bytes: int) -> bytes:
    """Return the image file of a base64 text; b"", which is no image, where it is none or too large."""
    if len(text) > max_bytes * 2:
        return b""
    try:
        data = base64.b64decode(text.rpartition(",")[2])
    except (binascii.Error, ValueError):
        return b""
    return data if len(data) <= max_bytes else b""
