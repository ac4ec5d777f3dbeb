"""What stands on more than so many pages of a site: counted in buckets on disk, told to each work item."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.comparing import EditsRepeated
from infimm_data.document import Document
from infimm_data.files import join
from infimm_data.links import digest
from infimm_data.rules import EditsDocument
from infimm_data.tables import read_documents, write_table
from infimm_data.text import normal_form
from infimm_data.urls import page_key
from pipelines.dedup.compare import partitions, remove_folder
from pipelines.dedup.components import Stage
from pipelines.dedup.segments import open_segments, read_segments
from pipelines.dedup.signatures import num_rows
from pipelines.layout import Layout
from pipelines.recipe import Step

PLACE = np.dtype([("key", "<u8"), ("check", "<u8"), ("url", "<u8"), ("text", "<u8"), ("part", "<i8")])
"""A paragraph on a page. key, check: halves of its key; url, text: hashes of what tells the page from others."""

KEY = np.dtype([("key", "<u8"), ("check", "<u8")])

_PLACES = 64  # paragraphs of a page, for the number of buckets: pages of a crawl have a dozen
_COPIES = 4  # of the records of a bucket while they are sorted and counted
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True)
class RepeatPlan:
    """The edits, of which the last asks; which files of documents; into how many buckets keys are cut."""

    edits: tuple[Step, ...]
    parts: tuple[str, ...]
    buckets: int


def repeats_path(layout: Layout, name: str, item: str) -> str:
    """Return where the repeated keys of a work item lie; name: the step's config name."""
    return layout.groups(f"{name}-{item}")


def find_repeats(
    edits: Sequence[Step], layout: Layout, paths: Mapping[str, str], *, share: int, print_: str, stage: Stage
) -> None:
    """Write, for each work item in `paths`, the keys of what is repeated and stands in it: a column `key`.

    share: bytes that one worker may hold.
    """
    parts = tuple(layout.extracted(item) for item in paths)
    size = sum(map(num_rows, parts)) * _PLACES * PLACE.itemsize * _COPIES
    plan = RepeatPlan(tuple(edits), parts, partitions(size, share, 1))
    folder = layout.groups(edits[-1].name).removesuffix(".parquet") + ".shuffle"
    remove_folder(folder)
    places = [join(folder, f"places-{number:05d}") for number in range(len(parts))]
    stage("paragraphs", write_places, [(plan, number, path) for number, path in enumerate(places)])
    found = [join(folder, f"repeated-{bucket:05d}") for bucket in range(plan.buckets)]
    stage("repeats", write_repeated, [(plan, places, bucket, path) for bucket, path in enumerate(found)])
    stage("tables", write_keys_of_part, [(found, number, path, print_) for number, path in enumerate(paths.values())])
    remove_folder(folder)


def write_places(plan: RepeatPlan, number: int, path: str) -> int:
    """Write what is counted of every document of one file; return how many paragraphs there are."""
    with open_segments(path, PLACE, plan.buckets) as out:
        held: list[npt.NDArray[Any]] = []
        for document in read_documents(plan.parts[number]):
            held.append(_places(plan, document, number))
            if len(held) == _DOCUMENTS_AT_ONCE:
                _add(out, held, plan.buckets)
                held = []
        _add(out, held, plan.buckets)
    return int(out.num_records.sum())


def _add(out: Any, held: Sequence[npt.NDArray[Any]], buckets: int) -> None:
    if held:
        records = np.concatenate(held)
        out.add(records, (records["key"] % np.uint64(buckets)).astype(np.int64))


def _places(plan: RepeatPlan, document: Document, number: int) -> npt.NDArray[Any]:
    """Return the records of one page, as the edits before the one that counts leave it."""
    *before, last = (step.filter for step in plan.edits)
    for edit in before:
        assert isinstance(edit, EditsDocument)
        document, _ = edit.edit(document)
    assert isinstance(last, EditsRepeated)
    keys = last.keys(document)
    found = np.empty(len(keys), dtype=PLACE)
    halves = np.frombuffer(bytearray().join(keys), dtype="<u8").reshape(-1, 2)
    found["key"], found["check"] = halves[:, 0], halves[:, 1]
    found["url"], found["text"] = _half(page_key(document.origin.url)), _half(normal_form(document.text))
    found["part"] = number
    return found


def _half(text: str) -> int:
    return int.from_bytes(digest(text)[:8], "little")


def write_repeated(plan: RepeatPlan, places: Sequence[str], bucket: int, path: str) -> int:
    """Write the keys of one bucket that stand on too many pages, for each file that they stand in; return how many."""
    last = plan.edits[-1].filter
    assert isinstance(last, EditsRepeated)
    records = read_segments(places, PLACE, bucket, bucket + 1)
    records = records[np.lexsort((records["check"], records["key"]))]
    starts = np.ones(len(records), dtype=bool)
    starts[1:] = (records["key"][1:] != records["key"][:-1]) | (records["check"][1:] != records["check"][:-1])
    run = np.cumsum(starts) - 1
    pages = np.minimum(_different(run, records["url"]), _different(run, records["text"]))
    repeated = pages[run] > last.pages
    wanted, parts = records[repeated], records["part"][repeated]
    _, once = np.unique(np.stack([run[repeated], parts]), axis=1, return_index=True)
    keys = np.empty(len(once), dtype=KEY)
    keys["key"], keys["check"] = wanted["key"][once], wanted["check"][once]
    with open_segments(path, KEY, len(plan.parts)) as out:
        out.add(keys, parts[once])
    return int((pages > last.pages).sum())


def _different(run: npt.NDArray[np.int64], values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return how many different values each run has; run: 0, 0, 1, ... for each value."""
    order = np.lexsort((values, run))
    new = np.ones(len(run), dtype=bool)
    new[1:] = (run[order][1:] != run[order][:-1]) | (values[order][1:] != values[order][:-1])
    return np.bincount(run[order][new], minlength=int(run[-1]) + 1 if len(run) else 0)


def write_keys_of_part(repeated: Sequence[str], number: int, path: str, print_: str) -> int:
    """Write the repeated keys of one work item, ascending; return how many there are."""
    found = read_segments(repeated, KEY, number, number + 1)
    raw = found.tobytes()
    keys = sorted(raw[at : at + KEY.itemsize] for at in range(0, len(raw), KEY.itemsize))
    told = hashlib.blake2b(b"".join(keys), digest_size=16).hexdigest()
    table = pa.table({"key": pa.array(keys, type=pa.binary())})
    write_table(path, table, fingerprint=print_, counts={"digest": told})
    return len(keys)
