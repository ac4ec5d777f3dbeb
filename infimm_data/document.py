"""The document: an ordered list of text and image nodes, with its origin. The vocabulary of the project.

A web page, an image-caption pair and an instruction conversation are all documents.

| field of a node | text | image | meaning |
|---|---|---|---|
| type | yes | yes | "text" or "image" |
| text | yes | - | the text, paragraphs separated by a blank line |
| role | yes | yes | "system", "user" or "assistant" in a conversation, else None |
| loss | yes | - | False where training computes no loss (a user's turn) |
| url | - | yes | absolute URL of the image, as the page gives it |
| alt, caption | - | yes | the page's alternative text; the caption that belongs to the image |
| width, height | - | yes | pixels: what the page declares, and once the image is fetched what was measured |
| file | - | yes | in a shard: the WebDataset field that holds the bytes ("0.jpg"), else None |
| sha256 | - | yes | in a shard: hex digest of those bytes, else None |
| scores | - | yes | in a shard: what was measured on the image or on its pair with the text |

A caption also stands in the text, right after its image, because that is the reading order; `caption` only
says which text it is. `alt` never stands in the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pydantic_core import from_json as from_json_bytes

SCHEMA_VERSION = 1  # of the JSON in a shard and of the Parquet tables; raise it when a field changes meaning

Role = Literal["system", "user", "assistant"]
Measure = float | int | str | bool | None
"""A number (or a slug) measured on a document, an image or a pair; None where it could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode:
    """A run of text in reading order."""

    text: str
    role: Role | None = None
    loss: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNode:
    """An image in reading order; the table in the module's docstring explains the fields."""

    url: str
    alt: str = ""
    caption: str = ""
    width: int | None = None
    height: int | None = None
    role: Role | None = None
    file: str | None = None
    sha256: str | None = None
    scores: Mapping[str, Measure] = field(default_factory=dict)


Node = TextNode | ImageNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a document comes from, exact enough to find it again.

    dump: name of the dump file relative to the recipe's source; offset: bytes from its start to the record
    (in the file as stored, so compressed bytes for a .warc.gz; the row of a table; of lines and tar members in a
    .gz or .zip the byte in what it inflates to; -1 where the format has none); date: ISO 8601 in UTC, or "" if
    unknown; licence: as the source states it, or "".
    """

    dump: str = ""
    offset: int = -1
    url: str = ""
    date: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Nodes in reading order, with origin and measures. `id` is the key of the sample in a shard.

    record: JSON of what the dump's own record holds beside the nodes, so that it can be written back as it was; ""
    where a source does not keep it. It stands in the table of documents, not in a shard.
    """

    id: str
    nodes: tuple[Node, ...]
    origin: Origin = Origin()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    record: str = ""

    @property
    def texts(self) -> tuple[TextNode, ...]:
        """The text nodes, in order."""
        return tuple(node for node in self.nodes if isinstance(node, TextNode))

    @property
    def images(self) -> tuple[ImageNode, ...]:
        """The image nodes, in order."""
        return tuple(node for node in self.nodes if isinstance(node, ImageNode))

    def start_of_text(self, characters: int) -> str:
        """Return the first characters of all text, one text per line, without joining what is much longer."""
        start, left = [], characters
        for node in self.texts:
            start.append(node.text[:left])
            left -= len(start[-1])
            if left <= 0:
                break
        return "\n".join(start)

    @property
    def text(self) -> str:
        """All text, nodes separated by a blank line."""
        return "\n\n".join(node.text for node in self.texts)


_TEXT_FIELDS = tuple(f.name for f in fields(TextNode))  # the required one first
_IMAGE_FIELDS = tuple(f.name for f in fields(ImageNode))
_ORIGIN_FIELDS = tuple(f.name for f in fields(Origin))


def document_id(origin: Origin) -> str:
    """Return 32 hex digits (128 bits of BLAKE2b) that depend on dump name, offset and URL only.

    Hex, so that it never holds a dot: WebDataset cuts the key of a member at its first dot.
    """
    named = f"{origin.dump}\n{origin.offset}\n{origin.url}"
    return hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_document(nodes: tuple[Node, ...], origin: Origin) -> Document:
    """Return a document whose id is derived from its origin."""
    return Document(id=document_id(origin), nodes=nodes, origin=origin)


def short_url(url: str) -> str:
    """Return the URL as tables and reports hold it: of a `data:` URI (the whole image in text) a digest only."""
    if url[:5].lower() != "data:":
        return url
    return f"data:{hashlib.blake2b(url.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def well_formed(text: str) -> str:
    """Return `text` as UTF-8 can hold it: lone surrogates become U+FFFD, surrogate pairs their character.

    JSON escapes and damaged decoders produce them; Parquet, JSON readers and tokenizers refuse them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def node_to_dict(node: Node) -> dict[str, Any]:
    """Return the node as plain data with its `type` first, every text well formed."""
    found: dict[str, Any] = {"type": "text" if isinstance(node, TextNode) else "image"}
    for name in _TEXT_FIELDS if isinstance(node, TextNode) else _IMAGE_FIELDS:
        value = getattr(node, name)
        found[name] = well_formed(value) if isinstance(value, str) else value
    if isinstance(node, ImageNode):
        found["scores"] = dict(node.scores)
    return found


def origin_to_dict(origin: Origin) -> dict[str, Any]:
    """Return the origin as plain data, every text well formed."""
    found = {name: getattr(origin, name) for name in _ORIGIN_FIELDS}
    return {name: well_formed(value) if isinstance(value, str) else value for name, value in found.items()}


def node_from_dict(data: Mapping[str, Any]) -> Node:
    """Return the node that `node_to_dict` made; unknown keys are ignored, so that newer shards stay readable.

    Raises KeyError when `type` or a required field is missing, ValueError on another type.
    """
    if data["type"] not in ("text", "image"):
        raise ValueError(f"node type {data['type']!r}: expected 'text' or 'image'")
    cls, known = (TextNode, _TEXT_FIELDS) if data["type"] == "text" else (ImageNode, _IMAGE_FIELDS)
    if data.get(known[0]) is None:
        raise KeyError(known[0])
    return cls(**{name: data[name] for name in known if data.get(name) is not None})


def to_json(document: Document) -> bytes:
    """Return the canonical JSON of a sample: sorted keys, no spaces, UTF-8; equal documents, equal bytes.

    Raises ValueError on a measure or score that is NaN or infinite: what was not measured is None.
    """
    data = {
        "schema": SCHEMA_VERSION,
        "id": document.id,
        "origin": origin_to_dict(document.origin),
        "nodes": [node_to_dict(node) for node in document.nodes],
        "measures": dict(document.measures),
    }
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def from_json(data: bytes) -> Document:
    """Return the document of a sample's JSON; unknown keys are ignored.

    Raises ValueError (json's or ours) or KeyError when it is not what `to_json` writes, or when its schema is
    newer than this version of InfiMM reads.
    """
    read = from_json_bytes(data)  # a third of the time of json.loads, which was half of reading a sample
    if not isinstance(read, dict) or not isinstance(read["schema"], int):
        raise ValueError("not the JSON of a document: expected an object whose `schema` is a number")
    if read["schema"] > SCHEMA_VERSION:
        raise ValueError(f"schema {read['schema']}: this version reads up to {SCHEMA_VERSION}; update infimm")
    nodes = tuple(node_from_dict(node) for node in read["nodes"])
    origin = Origin(**{name: read["origin"][name] for name in _ORIGIN_FIELDS if name in read["origin"]})
    return Document(id=read["id"], nodes=nodes, origin=origin, measures=read["measures"])
