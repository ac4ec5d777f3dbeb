"""Nearest earlier neighbours of embeddings within clusters (SemDeDup): k-means, a shuffle by cluster, cosines in each.

What is found depends on the vectors, the settings and the machine's arithmetic, not on how the work is cut: centres
come from one task, and every cluster is compared whole, by one worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import ComparesEmbeddings
from infimm_data.files import join
from infimm_data.tables import write_tables
from pipelines.dedup.compare import partitions, remove_folder
from pipelines.dedup.components import Stage
from pipelines.dedup.segments import open_segments, read_segments
from pipelines.embeddings import read_vectors

MEASURE = "semantic_similarity"
IMAGES_PER_CLUSTER = 2_000
POINTS_PER_CENTRE = 256  # that k-means learns from: more change centres little (faiss takes as many)
MOST_POINTS = 1 << 18  # in all, 0.5 GB of 512 numbers, whatever the limit: it may not change what is found
_ROWS_AT_ONCE = 1 << 10  # of a cluster that are compared with all before them at once
_COPIES = 5  # of the vectors of a bucket: as read, by cluster, in 32 bits
_FOUND = np.dtype([("row", "<i8"), ("similarity", "<f4")])

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Images:
    """The images of one work item that take part. path: of their embeddings; rows: their rows among all images.

    keys: "ID/NODE" of each. size: image nodes of the work item, which stand from row `start` on.
    """

    item: str
    path: str
    keys: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    start: int
    size: int


def compare_embeddings(
    settings: ComparesEmbeddings, images: Sequence[Images], *, share: int, path: str, print_: str, stage: Stage
) -> int:
    """Write the largest cosine of every image with one before it in its cluster; return how many were compared.

    Columns: item and MEASURE, a row for each image node in dump order, null where it takes no part. share: bytes that
    one worker may hold.
    """
    folder = path.removesuffix(".parquet") + ".shuffle"
    remove_folder(folder)
    ((centres, size),) = stage("centres", find_centres, [(settings, tuple(images))])
    buckets = partitions(size * (2 * centres.shape[1] + 16) * _COPIES, share, 1)
    paths = [join(folder, f"vectors-{number:05d}") for number in range(len(images))]
    stage("clusters", write_vectors, [(one, centres, buckets, to) for one, to in zip(images, paths, strict=True)])
    found = [join(folder, f"found-{bucket:05d}") for bucket in range(buckets)]
    starts = np.array([one.start for one in images], dtype=np.int64)
    given = [(paths, bucket, centres.shape[1], starts, to) for bucket, to in enumerate(found)]
    compared = sum(stage("cosines", write_similarities, given))
    stage("table", write_table_of, [(tuple(images), found, path, print_)])
    remove_folder(folder)
    return int(compared)


def find_centres(settings: ComparesEmbeddings, images: Sequence[Images]) -> tuple[Vectors, int]:
    """Return the centres of the clusters, unit vectors, and how many vectors there are.

    Learnt from a sample of at most POINTS_PER_CENTRE for each centre and MOST_POINTS in all.
    """
    size = sum(len(one.rows) for one in images)
    count = settings.clusters or max(1, round(size / IMAGES_PER_CLUSTER))
    rng = np.random.default_rng(settings.seed)
    wanted = np.sort(rng.permutation(size)[: min(count * POINTS_PER_CENTRE, MOST_POINTS)])
    sample, seen = [], 0
    for one in images:
        here = wanted[(wanted >= seen) & (wanted < seen + len(one.rows))] - seen
        seen += len(one.rows)
        if len(here) and len(vectors := vectors_of(one)[1]):
            sample.append(vectors[here[here < len(vectors)]])
    points = np.concatenate(sample) if sample else np.zeros((0, 1), dtype=np.float32)
    return spherical_k_means(points, min(count, max(1, len(points))), settings.iterations, rng), size


def spherical_k_means(points: Vectors, count: int, iterations: int, rng: np.random.Generator) -> Vectors:
    """Return `count` unit vectors, each the direction of the mean of the points nearest to it by cosine.

    points: [points, width], unit vectors, at least `count` of them but for none at all. First centres are points drawn
    without repetition; one that loses all its points becomes the point that is worst served (Dhillon and Modha 2001).
    """
    if not len(points):
        return np.zeros((1, points.shape[1]), dtype=np.float32)
    centres = points[np.sort(rng.choice(len(points), count, replace=False))].copy()
    for _ in range(iterations):
        nearest, similarity = nearest_centres(points, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, points)
        empty = np.flatnonzero(np.bincount(nearest, minlength=count) == 0)
        sums[empty] = points[np.argsort(similarity, kind="stable")[: len(empty)]]
        centres = unit(sums)
    return centres


def nearest_centres(points: Vectors, centres: Vectors) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the centre of each point, the first of equals, and its cosine."""
    nearest = np.empty(len(points), dtype=np.int64)
    similarity = np.empty(len(points), dtype=np.float32)
    for at in range(0, len(points), _ROWS_AT_ONCE):
        here = slice(at, at + _ROWS_AT_ONCE)
        cosines = points[here] @ centres.T
        nearest[here] = cosines.argmax(axis=1)
        similarity[here] = cosines.max(axis=1)
    return nearest, similarity


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    """Return vectors of length one, in 32 bits; zeros stay."""
    found = vectors.astype(np.float32)
    length = np.sqrt((found * found).sum(axis=1, keepdims=True))
    return np.asarray(found / np.where(length > 0, length, 1), dtype=np.float32)


def vectors_of(images: Images) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Return the rows of the images that have an embedding, ascending, and the embeddings as unit vectors.

    Raises ConfigError where the step stored none.
    """
    parts = list(read_vectors(images.path))
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty((0, 1), dtype=np.float32)
    ids = pa.chunked_array([chunk for part in parts for chunk in part.documents.chunks], type=pa.string())
    nodes = pc.cast(pa.array(np.concatenate([part.nodes for part in parts])), pa.string())
    keys = pc.binary_join_element_wise(ids.combine_chunks(), nodes, "/")
    at = pc.index_in(pa.array(images.keys, type=pa.string()), value_set=keys)
    present = at.is_valid().to_numpy(zero_copy_only=False)
    vectors = np.concatenate([part.vectors for part in parts])[at.drop_null().to_numpy()]
    return images.rows[present], unit(vectors)


def _vector(width: int) -> np.dtype[Any]:
    return np.dtype([("row", "<i8"), ("cluster", "<i4"), ("similarity", "<f4"), ("vector", "<f2", (width,))])


def write_vectors(images: Images, centres: Vectors, buckets: int, path: str) -> int:
    """Write the vectors of one work item by bucket of clusters; return how many there are."""
    rows, vectors = vectors_of(images)
    found = np.empty(len(rows), dtype=_vector(centres.shape[1]))
    if len(rows):
        found["cluster"], found["similarity"] = nearest_centres(vectors, centres)
        found["row"], found["vector"] = rows, vectors
    with open_segments(path, found.dtype, buckets) as out:
        out.add(found, found["cluster"].astype(np.int64) % buckets)
    return len(found)


def write_similarities(paths: Sequence[str], bucket: int, width: int, starts: npt.NDArray[np.int64], path: str) -> int:
    """Write the largest cosine of each image of one bucket with one before it, by work item; return how many."""
    records = read_segments(paths, _vector(width), bucket, bucket + 1)
    records = records[np.lexsort((records["row"], records["similarity"], records["cluster"]))]
    last = np.ones(len(records), dtype=bool)
    last[:-1] = records["cluster"][1:] != records["cluster"][:-1]
    found = np.empty(len(records), dtype=_FOUND)
    found["row"] = records["row"]
    start = 0
    for end in (np.flatnonzero(last) + 1).tolist():
        found["similarity"][start:end] = largest_before(unit(records["vector"][start:end]))
        start = end
    with open_segments(path, _FOUND, len(starts)) as out:
        out.add(found, np.searchsorted(starts, found["row"], side="right") - 1)
    return len(found)


def largest_before(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Return for each vector its largest cosine with those before it, 0 for the first, which no bound should drop.

    Never below 0: the paper takes the maximum over an upper triangle whose other half is zero.
    """
    found = np.zeros(len(vectors), dtype=np.float32)
    for at in range(0, len(vectors), _ROWS_AT_ONCE):
        here = vectors[at : at + _ROWS_AT_ONCE]
        if at:
            for first in range(0, at, _ROWS_AT_ONCE):
                cosines = here @ vectors[first : first + _ROWS_AT_ONCE].T
                found[at : at + len(here)] = np.maximum(found[at : at + len(here)], cosines.max(axis=1))
        within = np.tril(here @ here.T, -1)
        found[at : at + len(here)] = np.maximum(found[at : at + len(here)], within.max(axis=1))
    return found


def write_table_of(images: Sequence[Images], found: Sequence[str], path: str, print_: str) -> None:
    """Write one table over all image nodes, a row group for each work item."""
    write_tables(path, _tables(images, found), fingerprint=print_)


def _tables(images: Sequence[Images], found: Sequence[str]) -> Iterator[pa.Table]:
    for number, one in enumerate(images):
        here = read_segments(found, _FOUND, number, number + 1)
        values = np.full(one.size, np.nan)
        values[here["row"] - one.start] = here["similarity"]
        item = pa.array([one.item] * one.size, type=pa.string())
        yield pa.table({"item": item, MEASURE: pa.array(values, from_pandas=True)})
