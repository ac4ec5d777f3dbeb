"""What a dump holds, estimated in seconds: a source's own answer, or a sample of its first work item."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from infimm_data.document import Document
from infimm_data.errors import SourceError
from pipelines.records.files import positions
from pipelines.sources.contract import Answer, Preview, Previewed, Skipped, Source, WorkItem

SAMPLED_DOCUMENTS = 200
SAMPLED_SECONDS = 10.0
SAMPLED_BYTES = 1 << 20  # at least, of a file of which a reader takes pieces ahead
READ_AHEAD_BYTES = 1 << 18  # of any reader: gzip inflates 128 KB at a time, ijson parses 64 KB


def preview(source: Source, items: Sequence[WorkItem]) -> Preview:
    """Return what `items` hold: what the source itself tells, else what `sampled` finds."""
    return source.preview(items) if isinstance(source, Previewed) else sampled(source, items)


def sampled(
    source: Source, items: Sequence[WorkItem], *, num_rows: int | None = None,
    max_documents: int = SAMPLED_DOCUMENTS, max_seconds: float = SAMPLED_SECONDS,
) -> Preview:  # fmt: skip
    """Read the beginning of the first work item and extrapolate to all, by rows where `num_rows` says how many.

    num_rows: answers (documents and skipped) that all items together would give; None extrapolates by stored
    bytes. The sample ends after `max_documents` (and SAMPLED_BYTES of such a file), or with the first answer
    after `max_seconds`. How many bytes it took is the size of an item that it reads whole, else how far the file was
    read, for one that `pipelines.records` opened, else the `offset` of its last answer. Without any, the numbers are
    None.
    """
    if not items:
        return Preview(num_documents=0, num_images=0, seconds=0.0, how="there is no work item")
    first = items[0]
    try:
        sample = _sample(source, first, max_documents, max_seconds)
    except SourceError as error:
        return Preview(how=f"the sample cannot be read: {error}")
    size = first.size_bytes if sample.end is None else sample.end
    took = f"{sample.documents:,} documents in "
    if sample.end is None and len(items) == 1:
        scale, how = 1.0, f"all of {first.name}"
    elif num_rows is not None and sample.answers:
        scale, how = num_rows / sample.answers, f"{took}{sample.answers:,} rows of {first.name}"
    elif size > 0:
        before = max(0, sample.first - READ_AHEAD_BYTES) * len(items)  # bytes that hold no record
        whole = sum(item.size_bytes for item in items) - before
        size -= sample.first if sample.end is not None and sample.end > sample.first else 0
        scale, how = whole / max(1, size), f"{took}{size / 1e6:.2f} MB of {first.name}"
    else:
        return Preview(how=f"{first.name} does not say how many bytes its first {sample.documents} documents take")
    return Preview(
        num_documents=round(sample.documents * scale),
        num_images=round(sample.images * scale),
        seconds=sample.seconds * scale,
        how=f"all of {first.name}" if scale == 1 else how,
        skipped=dict(sample.skipped.most_common()),
        measures=frozenset(sample.measures) if sample.documents else None,
    )


@dataclass(slots=True)
class _Sample:
    """answers: documents and others; first: how far the file was read when the first of them came; end: bytes before
    the answer that was not counted any more, None: it is all.
    """

    documents: int = 0
    images: int = 0
    answers: int = 0
    first: int = 0
    end: int | None = None
    seconds: float = 0.0
    skipped: Counter[str] = field(default_factory=Counter)
    measures: set[str] = field(default_factory=set)

    def add(self, found: Answer) -> None:
        """Count an answer."""
        self.answers += 1
        if isinstance(found, Document):
            self.documents += 1
            self.images += len(found.images)
            self.measures.update(found.measures, *(node.scores for node in found.images))
        elif isinstance(found, Skipped):
            self.skipped[found.reason] += 1


def _sample(source: Source, item: WorkItem, max_documents: int, max_seconds: float) -> _Sample:
    sample = _Sample()
    start = time.monotonic()
    answers: Any = source.read(item)
    with positions() as position, closing(answers):
        for found in answers:
            at = position(item.path)
            if at is not None and not sample.answers:
                sample.first = at
            is_enough = at is None or at - sample.first >= SAMPLED_BYTES
            is_late = sample.answers and time.monotonic() - start > max_seconds
            if (sample.documents >= max_documents and is_enough) or is_late:
                sample.end = at or (found.origin.offset if isinstance(found, Document) else found.offset)
                break
            sample.add(found)
    sample.seconds = time.monotonic() - start
    return sample
