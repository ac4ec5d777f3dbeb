"""Annotation files (JSON, lines of JSON), read row by row into a source's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import Answer, Skipped, WorkItem

MAX_RECORD_BYTES = 1 << 27  # of one line of JSON: eight images of 10 MB in base64

Answers = Callable[[Record], Iterable[Answer]]


def rows_format(place: str | None) -> RowFormat:
    """Return what an annotation file is read as; place: of the rows, see `pipelines.records.json_values`."""
    return RowFormat(max_bytes=MAX_RECORD_BYTES, place=place, accepts_any=True)


def annotation_rows(item: WorkItem, place: str | None = None) -> Iterator[Record | Skipped]:
    """Yield the rows of an annotation file, and a Skipped for what is damaged; place: as of `rows_format`."""
    return read_rows(item, rows_format(place))


def answered(item: WorkItem, place: str | None, answers: Answers) -> Iterator[Answer]:
    """Yield what `answers` says of each row of a file; raises SourceError where it has none."""
    return rows_answered(annotation_rows(item, place), item.name, place, answers)


def rows_answered(rows: Iterable[Record | Skipped], name: str, place: str | None, answers: Answers) -> Iterator[Answer]:
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
