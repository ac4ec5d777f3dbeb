"""What a dump holds, estimated in seconds: a source's own answer, or a sample of its first work item."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from infimm_data.document import Document
from infimm_data.errors import SourceError
from pipelines.sources.contract import Preview, Previewed, Source, WorkItem

SAMPLED_DOCUMENTS = 200
SAMPLED_SECONDS = 10.0


def preview(source: Source, items: Sequence[WorkItem]) -> Preview:
    """Return what `items` hold: what the source itself tells, else what `sampled` finds."""
    return source.preview(items) if isinstance(source, Previewed) else sampled(source, items)


def sampled(
    source: Source, items: Sequence[WorkItem], *,
    max_documents: int = SAMPLED_DOCUMENTS, max_seconds: float = SAMPLED_SECONDS,
) -> Preview:  # fmt: skip
    """Read the beginning of the first work item and extrapolate by stored bytes to all.

    The sample ends after `max_documents`, or with the first answer after `max_seconds`. How many bytes it took is
    the size of an item that it reads whole, else the `offset` of its last answer: a source whose offsets are no
    bytes tells for itself what it holds (`Previewed`). Without either, the numbers are None.
    """
    if not items:
        return Preview(num_documents=0, num_images=0, seconds=0.0, how="there is no work item")
    first = items[0]
    try:
        documents, images, end, seconds = _sample(source, first, max_documents, max_seconds)
    except SourceError as error:
        return Preview(how=f"the sample cannot be read: {error}")
    size = first.size_bytes if end is None else end
    if size <= 0:
        return Preview(how=f"{first.name} does not say how many bytes its first {documents} documents take")
    scale = sum(item.size_bytes for item in items) / size
    if scale == 1:
        how = f"all of {first.name}"
    else:
        how = f"{documents} documents in {size / 1e6:.2f} MB of {first.name}"
    return Preview(
        num_documents=round(documents * scale), num_images=round(images * scale), seconds=seconds * scale, how=how
    )


def _sample(
    source: Source, item: WorkItem, max_documents: int, max_seconds: float
) -> tuple[int, int, int | None, float]:
    """Return documents, images, the offset where the sample ended (None: it is the whole item), and seconds."""
    documents = images = 0
    start = time.monotonic()
    answers: Any = source.read(item)
    with closing(answers):
        for found in answers:
            if documents >= max_documents or (documents and time.monotonic() - start > max_seconds):
                end = found.origin.offset if isinstance(found, Document) else found.offset
                return documents, images, end, time.monotonic() - start
            if isinstance(found, Document):
                documents += 1
                images += len(found.images)
    return documents, images, None, time.monotonic() - start
