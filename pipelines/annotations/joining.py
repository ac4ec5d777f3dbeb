"""Two lists of rows that belong together by an id, joined while they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from pipelines.records.files import Record
from pipelines.sources.contract import Skipped


def join_rows(
    questions: Iterable[Record | Skipped], annotations: Iterable[Record | Skipped], key: str
) -> Iterator[Record | Skipped]:
    """Yield each question with the fields of its annotation, as soon as both were read; then questions without one.

    Where a field stands in both, the question's counts. Memory: the rows by which the two lists are out of step,
    none for the official files, which are in the same order. An annotation without a question, or a row without the
    key, is a Skipped.
    """
    waiting: dict[Any, Record] = {}
    early: dict[Any, Record] = {}
    for question, annotation in zip_longest(questions, annotations):
        if annotation is not None:
            yield from _place(annotation, key, early)
        if question is not None:
            yield from _place(question, key, waiting)
        for row in (question, annotation):
            name = _name(row, key)
            if name is not None and name in waiting and name in early:
                asked, answered = waiting.pop(name), early.pop(name)
                yield replace(asked, data={**answered.data, **asked.data})
    yield from waiting.values()
    for row in early.values():
        yield _bad(row, f"an annotation of {key} {str(row.data[key])[:80]}, which nobody asks")


def _name(row: Record | Skipped | None, key: str) -> Any:
    """Return the id of a row, None where it has none: a text or a number, equal only to its like."""
    found = row.data.get(key) if isinstance(row, Record) and isinstance(row.data, dict) else None
    return found if isinstance(found, str | int) else None


def _place(row: Record | Skipped, key: str, waiting: dict[Any, Record]) -> Iterator[Skipped]:
    name = _name(row, key)
    if isinstance(row, Skipped):
        yield row
    elif name is None:
        yield _bad(row, f"no {key}; expected a text or a number")
    elif name in waiting:
        yield _bad(row, f"{key} {str(name)[:80]} stands there twice")
    else:
        waiting[name] = row


def _bad(row: Record, detail: str) -> Skipped:
    return Skipped(reason="damaged_record", offset=row.offset, detail=detail)
