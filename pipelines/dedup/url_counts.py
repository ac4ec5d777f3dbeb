"""How often the URL of each image stands in the whole set: counted in buckets on disk, stored beside every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infimm_data.comparing import CountsImageUrls
from infimm_data.files import join
from infimm_data.links import DIGEST_BYTES, RECORD, as_matrix, digest
from infimm_data.tables import read_table, write_tables
from pipelines.dedup.compare import partitions, remove_folder
from pipelines.dedup.components import Stage
from pipelines.dedup.segments import open_segments, read_segments
from pipelines.dedup.signatures import Part
from pipelines.dedup.stages import RECORD_COPIES

COUNT = np.dtype([("position", "<i8"), ("count", "<i8")])
MEASURE = "image_url_count"


@dataclass(frozen=True)
class CountPlan:
    """The tables of image nodes with their URLs, and into how many buckets of URLs they are cut."""

    counts: CountsImageUrls
    parts: tuple[Part, ...]
    buckets: int


def count_urls(
    counts: CountsImageUrls, parts: Sequence[Part], *, share: int, workers: int, path: str, print_: str, stage: Stage
) -> int:
    """Write the count of every image node to one table; return how many nodes there are.

    share: bytes that one worker may hold.
    """
    size = sum(part.size for part in parts)
    plan = CountPlan(counts, tuple(parts), partitions(size * RECORD.itemsize * RECORD_COPIES, share, workers))
    folder = path.removesuffix(".parquet") + ".shuffle"
    remove_folder(folder)
    keys = [join(folder, f"keys-{number:05d}") for number in range(len(parts))]
    stage("keys", write_url_keys, [(plan, part, to) for part, to in zip(parts, keys, strict=True)])
    found = [join(folder, f"counts-{bucket:05d}") for bucket in range(plan.buckets)]
    stage("counts", write_counts, [(plan, keys, bucket, to) for bucket, to in enumerate(found)])
    stage("table", write_count_table, [(plan, found, path, print_)])
    remove_folder(folder)
    return size


def write_url_keys(plan: CountPlan, part: Part, path: str) -> int:
    """Write a record for each image node of one table that has a URL; return how many there are."""
    urls = read_table(part.path, columns=["url"]).column("url").combine_chunks().dictionary_encode()
    texts = [plan.counts.image_key(url) for url in urls.dictionary.to_pylist()]
    numbers = as_matrix([digest(text) for text in texts], DIGEST_BYTES).view("<u8").reshape(-1, 2)
    at = urls.indices.to_numpy()
    counted = np.array([bool(text) for text in texts], dtype=bool)[at]
    records = np.empty(int(counted.sum()), dtype=RECORD)
    records["key"], records["check"] = numbers[at[counted]].T
    records["position"] = np.flatnonzero(counted) + part.start
    with open_segments(path, RECORD, plan.buckets) as out:
        out.add(records, (records["key"] % np.uint64(plan.buckets)).astype(np.int64))
    return len(records)


def write_counts(plan: CountPlan, keys: Sequence[str], bucket: int, path: str) -> int:
    """Write the counts above one of the nodes of one bucket, by table; return how many nodes these are."""
    records = read_segments(keys, RECORD, bucket, bucket + 1)
    records = records[np.lexsort((records["check"], records["key"]))]
    starts = np.ones(len(records), dtype=bool)
    starts[1:] = (records["key"][1:] != records["key"][:-1]) | (records["check"][1:] != records["check"][:-1])
    of_run = np.diff(np.append(np.flatnonzero(starts), len(records)))
    found = np.empty(len(records), dtype=COUNT)
    found["position"], found["count"] = records["position"], np.repeat(of_run, of_run)
    found = found[found["count"] > 1]
    part_starts = np.array([part.start for part in plan.parts], dtype=np.int64)
    with open_segments(path, COUNT, len(plan.parts)) as out:
        out.add(found, np.searchsorted(part_starts, found["position"], side="right") - 1)
    return len(found)


def write_count_table(plan: CountPlan, counts: Sequence[str], path: str, print_: str) -> None:
    """Write one table: item, id, node and the count of every image node, a row group for each work item."""
    write_tables(path, _tables(plan, counts), fingerprint=print_)


def _tables(plan: CountPlan, counts: Sequence[str]) -> Iterator[pa.Table]:
    for number, part in enumerate(plan.parts):
        found = read_segments(counts, COUNT, number, number + 1)
        values = np.ones(part.size)
        values[found["position"] - part.start] = found["count"]
        keys = read_table(part.path, columns=["id", "node"]).replace_schema_metadata(None)
        table = keys.add_column(0, "item", pa.array([part.item] * part.size, type=pa.string()))
        yield table.append_column(MEASURE, pa.array(values))
