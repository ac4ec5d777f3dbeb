"""What a source answers: it lists work items and reads one into documents.

A source is a frozen dataclass whose fields are its settings in the recipe. Reading a work item yields, in the
order of the dump, a `Document` or a `Skipped`: nothing that the dump holds goes uncounted. A source that mends
records yields a `Fixed` for each change, before the document.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from infimm_data.document import Document

_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")
_STEM_CHARACTERS = 64  # of the end of a name, which tells the files of a crawl apart


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One file of a dump, or a part of a large one: what one task reads.

    index: position in the source's listing, the same on every run; name: the file relative to the source's
    path, the `dump` of its documents (of a part, followed by its span: no two items share a name); path: where it
    is now (local or any fsspec URL); size_bytes: as stored, 0 where the listing does not say; span: of a part, from
    (inclusive) and to (exclusive), in rows of a table or bytes of a text file; None is the whole file; beside: other
    files that its documents are read from as well.
    """

    index: int
    name: str
    path: str
    size_bytes: int
    span: tuple[int, int] | None = None
    beside: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What the files of this item below OUT are called: the end of its name as far as it is safe, and a digest.

        It depends on the name alone, so that what was done for an item stays its own when the dump grows.
        """
        stem = _UNSAFE.sub("_", self.name.rpartition("/")[2])[-_STEM_CHARACTERS:].strip("_-") or "item"
        return f"{stem}-{hashlib.blake2b(self.name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A record that became no document: counted by `reason` (a slug) and named by offset, URL and detail."""

    reason: str
    offset: int = -1
    url: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A record that was wrong and was mended: the document that follows is the mended one. Fields as of `Skipped`."""

    reason: str
    offset: int = -1
    url: str = ""
    detail: str = ""


Answer = Document | Skipped | Fixed
"""What reading a dump yields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a dry run tells of a whole dump, cheaply.

    size_bytes: to be read in all, None for the sum of the work items; columns: of its tables, as they stand there,
    () where it has none; num_documents, num_images: what reading all of it would yield, before any filter, None
    where that cannot be told; seconds: that reading takes on one core, or None; how: where the numbers come from,
    as a clause ("row counts of 4 of 128 files"); skipped: why records of the sample became no document, by reason;
    measures: what the dump measured on the documents and images of the sample, None without a sample.
    """

    size_bytes: int | None = None
    columns: tuple[str, ...] = ()
    num_documents: int | None = None
    num_images: int | None = None
    seconds: float | None = None
    how: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    measures: Collection[str] | None = None


class Source(Protocol):
    """What every entry of `pipelines.sources.table.SOURCES` answers.

    A class variable `listing` may name the fields that only say where the dump lies and how much of it is read
    (default: "path"): another value of theirs makes no document anew.
    """

    def work_items(self) -> list[WorkItem]:
        """List the files of the dump in a stable order; raises ConfigError when there is none."""
        ...

    def read(self, item: WorkItem) -> Iterator[Answer]:
        """Yield what one file holds, in its order; raises SourceError when it cannot be opened at all."""
        ...

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (wanted URL, image file) for the wanted images that the dump itself holds; may be none.

        The bytes are as the dump has them, so possibly no image at all: the fetch pass checks them.
        """
        ...


@runtime_checkable
class Previewed(Source, Protocol):
    """A source that knows better than a sample of its first work item what it holds (columns, row counts).

    Optional: `pipelines.preview.preview` samples what does not answer this. `pipelines.preview.sampled` is at hand
    for the part that a source does not know.
    """

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell what `items` (all of `work_items`, in order) hold, within seconds; never raises SourceError."""
        ...
