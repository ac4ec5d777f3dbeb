"""Parallel lists of texts and images, as OBELICS, OmniCorpus, MINT-1T and InfiMM-WebMath hold them, into nodes.

Position by position: a text, an image, or nothing. Where both stand at one position nothing is lost: the image
comes first, as everywhere in interleaved sets. An image that cannot be used costs itself, not its document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.document import Document, ImageNode, Measure, Node, Origin, TextNode, new_document
from pipelines.records.files import Record
from pipelines.records.values import as_number, as_pixels
from pipelines.sources.contract import Skipped

MAX_NODES = 100_000  # of one document; the longest of OBELICS have some hundreds


class BrokenRecord(ValueError):  # noqa: N818  # an outcome with a reason slug, counted as Skipped
    """A record that is not what its set says; `reason` is the slug that the funnel counts."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the slug beside what was found and expected."""
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """An image of a record that cannot be used: which, and what is wrong with it."""

    number: int
    problem: str


def as_list(record: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that must be a list; raises BrokenRecord where it is missing or something else."""
    found = record.get(name)
    if not isinstance(found, list):
        raise BrokenRecord("broken_record", f"'{name}' is {type(found).__name__}, expected a list")
    if len(found) > MAX_NODES:
        raise BrokenRecord("record_too_large", f"'{name}' has {len(found)} entries, at most {MAX_NODES} are read")
    return found


def as_mapping(found: Any) -> Mapping[str, Any]:
    """Return an object, or the one that a text of JSON holds; {} for anything else: it only adds to a record."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, Mapping) else {}


def numbers(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Measure]:
    """Return the named fields as measures, None where one is no number: the same keys for every record."""
    return {name: as_number(found.get(name)) for name in names}


def texts_of(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Measure]:
    """Return the named fields as measures that are texts, None where one is none."""
    return {name: value if isinstance(value := found.get(name), str) else None for name in names}


def per_image(details: Any, images: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return what a list tells of each position of `images`, {} where nothing.

    details: a list (or JSON of one) as long as `images`, or with one entry per image that is there; of any other
    length it cannot be told what belongs to what, and nothing is taken from it.
    """
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except (ValueError, RecursionError):
            details = None
    entries = [as_mapping(one) for one in details] if isinstance(details, list) else []
    if len(entries) == len(images):
        return entries
    if len(entries) == sum(image is not None for image in images):
        following = iter(entries)
        return [{} if image is None else next(following) for image in images]
    return [{} for _ in images]


def interleave(texts: Sequence[Any], images: Sequence[ImageNode | BrokenImage | None]) -> Iterator[Node | BrokenImage]:
    """Yield the nodes of two parallel lists; blank texts are nothing.

    Raises BrokenRecord on lists of different length, and on a text that is no text.
    """
    if len(texts) != len(images):
        raise BrokenRecord("lists_differ", f"{len(texts)} texts, {len(images)} images; expected as many of both")
    for number, (text, image) in enumerate(zip(texts, images, strict=True)):
        if image is not None:
            yield image
        if isinstance(text, str):
            if text.strip():
                yield TextNode(text=text.strip())
        elif text is not None:
            raise BrokenRecord("broken_record", f"text {number} is {type(text).__name__}, expected a text or null")


def image_node(
    url: Any, number: int, *, alt: Any = "", width: Any = None, height: Any = None, scores: Mapping[str, Measure]
) -> ImageNode | BrokenImage | None:
    """Return the node of an image by its URL, None where there is none, BrokenImage where it is no text."""
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        return BrokenImage(number, f"its URL is {type(url).__name__}, expected a text")
    alt = alt if isinstance(alt, str) else ""
    return ImageNode(url=url.strip(), alt=alt, width=as_pixels(width), height=as_pixels(height), scores=scores)


def document_of(
    record: Record, found: Iterable[Node | BrokenImage], *, url: Any, measures: Mapping[str, Measure]
) -> Iterator[Document | Skipped]:
    """Yield the document of a record, and a Skipped `broken_image` for each image that it lost.

    A record without text and image is `no_content`; one that is broken (the nodes raise BrokenRecord) its reason.
    """
    url = url if isinstance(url, str) else ""
    try:
        found = list(found)
    except BrokenRecord as broken:
        yield Skipped(reason=broken.reason, offset=record.offset, url=url, detail=str(broken))
        return
    for one in found:
        if isinstance(one, BrokenImage):
            detail = f"image {one.number}: {one.problem}"
            yield Skipped(reason="broken_image", offset=record.offset, url=url, detail=detail)
    nodes = tuple(node for node in found if not isinstance(node, BrokenImage))
    if not nodes:
        yield Skipped(reason="no_content", offset=record.offset, url=url)
        return
    document = new_document(nodes, Origin(dump=record.dump, offset=record.offset, url=url))
    yield Document(id=document.id, nodes=nodes, origin=document.origin, measures=measures)
