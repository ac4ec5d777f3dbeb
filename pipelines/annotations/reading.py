"""Annotation files as work items, read row by row into a source's answers, and what a dry run tells of them."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from infimm_data.document import Document
from infimm_data.errors import SourceError
from pipelines.annotations.rows import Row, is_lines, open_json, read_json, read_rows
from pipelines.preview import sampled
from pipelines.records.json_lines import inflated
from pipelines.sources.contract import Answer, Preview, Skipped, Source, WorkItem

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".jsonl.zip")
SAMPLED_BYTES = 1 << 20  # about 700 rows of LLaVA's mix, read in a few hundredths of a second

Answers = Callable[[Row], Iterable[Answer]]


def answered(item: WorkItem, place: str | None, answers: Answers) -> Iterator[Answer]:
    """Yield what `answers` says of each row of a file; raises SourceError where it has none. place: see `read_rows`."""
    return rows_answered(read_rows(item, place), item.name, place, answers)


def rows_answered(rows: Iterable[Row | Skipped], name: str, place: str | None, answers: Answers) -> Iterator[Answer]:
    """Yield what `answers` says of each row; raises SourceError, which names the file, where there is none."""
    is_any, problem = False, "it is empty"
    for row in rows:
        if isinstance(row, Skipped):
            problem = row.detail
            yield row
        else:
            is_any = True
            yield from answers(row)
    if not is_any:
        expected = f"a list under '{place}'" if place else "an object" if place == "" else "lines of JSON"
        raise SourceError(f"{name}: no row ({problem}); expected a JSON list or {expected}. Replace or remove it.")


def previewed(
    source: Source, items: Sequence[WorkItem], place: str | None, reader: Callable[[WorkItem], Answers]
) -> Preview:
    """Return what the beginning of the first file holds, extrapolated by bytes to all files.

    reader: gives `answers` for a file. Of lines of JSON a sample tells; of other JSON, which has no byte offsets, the
    rows of the first megabyte.
    """
    if not items:
        return Preview(num_documents=0, num_images=0, seconds=0.0, how="there is no work item")
    first = items[0]
    start = time.monotonic()
    try:
        if is_lines(first, place):
            return sampled(source, inflated(items))
        head, size = _head(first)
    except SourceError as error:
        return Preview(how=f"the sample cannot be read: {error}")
    rows = [row for row in read_json(io.BytesIO(head), place) if isinstance(row, Row)]
    if not rows:
        return Preview(how=f"the first {len(head) / 1e6:.2f} MB of {first.name} hold no row")
    answers = reader(first)
    documents = [found for row in rows for found in answers(row) if isinstance(found, Document)]
    seconds = time.monotonic() - start
    scale = sum(item.size_bytes for item in items) / size
    return Preview(
        columns=tuple(rows[0].data) if isinstance(rows[0].data, dict) else (),
        num_documents=round(len(documents) * scale),
        num_images=round(sum(len(document.images) for document in documents) * scale),
        seconds=seconds * scale,
        how=f"all of {first.name}" if scale == 1 else f"{len(rows)} rows in {size / 1e6:.2f} MB of {first.name}",
    )


def _head(item: WorkItem) -> tuple[bytes, int]:
    """Return the first bytes of a file, and how many of its stored bytes they are about."""
    with open_json(item) as file:
        head = file.read(SAMPLED_BYTES)
        if not file.read(1):
            return head, max(1, item.size_bytes)
    if not item.path.endswith(".gz"):
        return head, len(head)
    return head, len(zlib.compress(head, 6))  # of a .gz: as many as its own level would make of them, nearly
