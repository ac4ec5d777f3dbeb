"""Annotation files as work items, read row by row into a source's answers, and what a dry run tells of them."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from infimm_data.document import Document
from infimm_data.errors import SourceError
from pipelines.annotations.rows import SUFFIXES, Damage, Row, open_rows, read_rows
from pipelines.dump_files import list_dump_files
from pipelines.sources.contract import Answer, Preview, Skipped, WorkItem

SAMPLED_BYTES = 1 << 20  # about 700 rows of LLaVA's mix, read in a few hundredths of a second

Answers = Callable[[Row], Iterable[Answer]]


def list_items(path: str, kind: str) -> list[WorkItem]:
    """Return every annotation file at `path` as a work item; raises ConfigError where there is none."""
    files = list_dump_files(path, SUFFIXES, kind=kind)
    return [WorkItem(index=n, name=name, path=full, size_bytes=size) for n, (name, full, size) in enumerate(files)]


def answered(item: WorkItem, place: str | None, answers: Answers) -> Iterator[Answer]:
    """Yield what `answers` says of each row of a file; raises SourceError where it has none. place: see `read_rows`."""
    with open_rows(item.path) as file:
        yield from rows_answered(read_rows(file, place), item.name, place, answers)


def rows_answered(rows: Iterable[Row | Damage], name: str, place: str | None, answers: Answers) -> Iterator[Answer]:
    """Yield what `answers` says of each row; raises SourceError, which names the file, where there is none."""
    is_any, problem = False, "it is empty"
    for row in rows:
        if isinstance(row, Damage):
            problem = row.detail
            yield Skipped(reason="damaged_record", offset=row.offset, detail=row.detail)
        else:
            is_any = True
            yield from answers(row)
    if not is_any:
        expected = f"a list under '{place}'" if place else "an object" if place == "" else "lines of JSON"
        raise SourceError(f"{name}: no row ({problem}); expected a JSON list or {expected}. Replace or remove it.")


def previewed(items: Sequence[WorkItem], place: str | None, reader: Callable[[WorkItem], Answers]) -> Preview:
    """Return what the first megabyte of the first file holds, extrapolated by bytes to all files."""
    if not items:
        return Preview(num_documents=0, num_images=0, seconds=0.0, how="there is no work item")
    first = items[0]
    start = time.monotonic()
    try:
        head, size = _head(first)
    except SourceError as error:
        return Preview(how=f"the sample cannot be read: {error}")
    rows = [row for row in read_rows(io.BytesIO(head), place) if isinstance(row, Row)]
    answers = reader(first)
    documents = [found for row in rows for found in answers(row) if isinstance(found, Document)]
    seconds = time.monotonic() - start
    columns = tuple(rows[0].data) if rows and isinstance(rows[0].data, dict) else ()
    if not rows:
        return Preview(how=f"the first {len(head) / 1e6:.2f} MB of {first.name} hold no row")
    scale = sum(item.size_bytes for item in items) / size
    how = f"all of {first.name}" if scale == 1 else f"{len(rows)} rows in {size / 1e6:.2f} MB of {first.name}"
    return Preview(
        columns=columns,
        num_documents=round(len(documents) * scale),
        num_images=round(sum(len(document.images) for document in documents) * scale),
        seconds=seconds * scale,
        how=how,
    )


def _head(item: WorkItem) -> tuple[bytes, int]:
    """Return the first bytes of a file, and how many of its stored bytes they are about."""
    with open_rows(item.path) as file:
        head = file.read(SAMPLED_BYTES)
        if not file.read(1):
            return head, max(1, item.size_bytes)
    if not item.path.endswith(".gz"):
        return head, len(head)
    return head, len(zlib.compress(head, 6))  # of a .gz: as many as its own level would make of them, nearly
