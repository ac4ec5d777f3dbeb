"""Single records of many archives by byte range: neighbours in one request, several requests at once, order kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from infimm_data.errors import SourceError
from infimm_data.files import join
from pipelines.archives.captures import Capture
from pipelines.archives.records import Damage, Record, read_records
from pipelines.archives.remote import NotThereError, archive_file_system

MAX_GAP_BYTES = 1 << 14  # between two records that are read in one request: less than a request costs
MAX_JOINED_BYTES = 1 << 22  # of one request for several records


@dataclass(slots=True)
class _Range:
    filename: str
    begin: int
    end: int
    captures: list[Capture]


def read_ranges(
    captures: Sequence[Capture], base: str, keep: Callable[[str, str], int], at_once: int
) -> Iterator[tuple[Capture, Record | Damage | None]]:
    """Yield (capture, its record) in the order of `captures`; None where the file or the place in it is not there.

    captures: sorted; base: folder or URL that their file names stand below; keep: as `read_records` takes it;
    at_once: requests under way. Memory: at_once times the longest capture, or MAX_JOINED_BYTES. Raises SourceError
    when the store does not answer, after the retries of `pipelines.archives.remote`.
    """
    filesystem, root = archive_file_system(base)
    ranges = _joined(captures)
    for at in range(0, len(ranges), at_once):
        asked = ranges[at : at + at_once]
        answers = filesystem.cat_ranges(
            [join(root, one.filename) for one in asked],
            [one.begin for one in asked],
            [one.end for one in asked],
            on_error="return",
        )
        for one, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError | NotThereError):
                raise SourceError(f"{join(base, one.filename)}: bytes {one.begin}-{one.end} cannot be read ({answer})")
            for capture in one.captures:
                yield capture, _record(answer, capture, one.begin, keep) if isinstance(answer, bytes) else None


def _joined(captures: Sequence[Capture]) -> list[_Range]:
    found: list[_Range] = []
    for capture in captures:
        last, end = found[-1] if found else None, capture.offset + capture.length
        is_near = last is not None and last.filename == capture.filename and capture.offset <= last.end + MAX_GAP_BYTES
        if last is not None and is_near and end - last.begin <= MAX_JOINED_BYTES:
            last.end = max(last.end, end)
            last.captures.append(capture)
        else:
            found.append(_Range(capture.filename, capture.offset, end, [capture]))
    return found


def _record(data: bytes, capture: Capture, begin: int, keep: Callable[[str, str], int]) -> Record | Damage | None:
    part = data[capture.offset - begin : capture.offset - begin + capture.length]
    if not part:
        return None  # a local file that ends before
    record = next(iter(read_records(io.BytesIO(part), keep)), None)
    if record is None:
        return Damage(offset=capture.offset, detail="no record", url=capture.url)
    if isinstance(record, Damage):
        return replace(record, offset=capture.offset, url=record.url or capture.url)
    return replace(record, offset=capture.offset)
