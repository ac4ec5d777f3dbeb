"""Is a set of shards what was written, and do two sets differ? Every shard is read, each by a task of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from infimm_data.errors import ShardError
from infimm_data.files import exists, file_system, join, sha256_of
from infimm_data.shards import ShardInfo, read_index, read_manifest, read_sample
from pipelines.executor import Cluster, Task


@dataclass(frozen=True)
class Difference:
    """Document ids: in one set only, and in both with other bytes; each list sorted."""

    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    changed: tuple[str, ...]


def verify(folder: str, cluster: Cluster) -> list[str]:
    """Return what is wrong with the shards in a folder, one line each; an empty list when they are whole.

    Checks size and sha256 of every shard, that its index leads to every sample, that every image has the sha256 its
    document states, and that no id stands twice. Raises ShardError where there is no finished set.
    """
    shards = read_manifest(folder)
    report = cluster.run("verify", verify_shard, [Task(shard.name, (folder, shard)) for shard in shards])
    problems = [f"{failure.name}: {failure.problem}" for failure in report.failures]
    first_shard: dict[str, str] = {}
    for shard, result in zip(shards, report.results, strict=True):
        found, keys = result or ([], [])
        problems += found
        for key in keys:
            if first_shard.setdefault(key, shard.name) != shard.name:
                problems.append(f"{shard.name}: document {key} stands in {first_shard[key]} too; pack the shards again")
    return problems


def verify_shard(folder: str, shard: ShardInfo) -> tuple[list[str], list[str]]:
    """Return (what is wrong with one shard, the ids in it)."""
    path = join(folder, shard.name)
    fs, inside = file_system(path)
    if not exists(path):
        return [f"{path}: not found; pack the shards again"], []
    if (size := int(fs.size(inside))) != shard.size_bytes:
        return [f"{path}: {size} bytes, expected {shard.size_bytes}; pack the shards again"], []
    if sha256_of(path) != shard.sha256:
        return [f"{path}: sha256 differs from the manifest's; pack the shards again"], []
    try:
        places = read_index(folder, shard)
        problems = []
        for place in places:
            sample = read_sample(folder, place)
            for node in sample.document.images:
                if hashlib.sha256(sample.files[str(node.file)]).hexdigest() != node.sha256:
                    problems.append(f"{path}: document {place.key}: image {node.file} is not what its sha256 says")
    except ShardError as error:
        return [str(error)], []
    return problems, [place.key for place in places]


def diff(first: str, second: str, cluster: Cluster) -> Difference:
    """Return how two sets of shards differ, whatever the order of their documents. Raises ShardError as `verify`."""
    digests = [_digests(folder, cluster) for folder in (first, second)]
    a, b = digests
    return Difference(
        only_first=tuple(sorted(a.keys() - b.keys())),
        only_second=tuple(sorted(b.keys() - a.keys())),
        changed=tuple(sorted(key for key in a.keys() & b.keys() if a[key] != b[key])),
    )


def _digests(folder: str, cluster: Cluster) -> dict[str, bytes]:
    """Return a digest of every sample by its id; raises ShardError when a shard cannot be read."""
    shards = read_manifest(folder)
    report = cluster.run("read", digest_shard, [Task(shard.name, (folder, shard)) for shard in shards])
    for failure in report.failures:
        raise ShardError(f"{join(folder, failure.name)}: {failure.problem}")
    found: dict[str, bytes] = {}
    for result in report.results:
        found |= result
    return found


def digest_shard(folder: str, shard: ShardInfo) -> dict[str, bytes]:
    """Return the BLAKE2b digest of every sample of a shard, headers of the tar included, by document id."""
    found = {}
    fs, inside = file_system(join(folder, shard.name))
    with fs.open(inside, "rb") as file:
        for place in read_index(folder, shard):
            file.seek(place.offset)
            found[place.key] = hashlib.blake2b(file.read(place.size), digest_size=16).digest()
    return found


def named(keys: Sequence[str], most: int = 10) -> str:
    """Return the first ids of a list, and how many more there are."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
