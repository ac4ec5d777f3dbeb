"""Samples in any order, from a local folder or any file system, with every damage named and no neighbour lost."""

import fsspec
import pytest

from infimm_data.errors import ShardError
from infimm_data.files import join, write_bytes
from infimm_data.shard_reads import ShardReads
from infimm_data.shards import read_index, read_manifest, read_sample, write_manifest, write_shard
from tests.infimm_data.test_shards import SAMPLES, sample

MANY = [*SAMPLES, *(sample(n) for n in range(10, 100))]


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    where = str(tmp_path / "shards") if request.param == "local" else f"memory://{tmp_path.name}/shards"
    write_manifest(where, [write_shard(where, n, MANY[n * 20 : n * 20 + 20]) for n in range(5)])
    yield where
    if request.param == "memory":
        fsspec.filesystem("memory").rm(where, recursive=True)


def places_of(folder):
    return [place for shard in read_manifest(folder) for place in read_index(folder, shard)]


def test_samples_come_in_the_order_asked_as_they_were_written(folder):
    places = places_of(folder)[::-1]
    found = list(ShardReads(folder, read_manifest(folder)).read(places))
    assert [one.document for one in found] == [one.document for one in MANY[::-1]]
    assert [dict(one.files) for one in found] == [one.files for one in MANY[::-1]]
    assert found[0].document == read_sample(folder, places[0]).document
    assert list(ShardReads(folder, read_manifest(folder)).read([])) == []


def test_a_damaged_sample_is_an_error_in_its_place(folder):
    places = places_of(folder)
    path = join(folder, "00001.tar")
    fs, inside = fsspec.core.url_to_fs(path)
    data = bytearray(fs.cat_file(inside))
    data[places[25].offset + 700] = 0xFF
    write_bytes(path, bytes(data))
    found = list(ShardReads(folder, read_manifest(folder)).read(places[24:27]))
    assert [type(one).__name__ for one in found] == ["Sample", "ShardError", "Sample"]
    assert f"00001.tar at byte {places[25].offset}, sample {places[25].key}: not a sample" in str(found[1])


def test_a_shard_that_is_cut_off_stops_the_reader_before_it_is_mapped(tmp_path):
    folder = str(tmp_path)
    write_manifest(folder, [write_shard(folder, n, MANY[n * 20 : n * 20 + 20]) for n in range(2)])
    size = (tmp_path / "00001.tar").stat().st_size
    with (tmp_path / "00001.tar").open("r+b") as file:
        file.truncate(size - 1)
    with pytest.raises(ShardError, match=f"00001.tar: {size - 1} bytes, the manifest says {size}; copy or pack it"):
        ShardReads(folder, read_manifest(folder))


def test_a_shard_that_is_gone_stops_the_reader(folder):
    fs, inside = fsspec.core.url_to_fs(join(folder, "00000.tar"))
    fs.rm_file(inside)
    places = places_of(folder)
    with pytest.raises(ShardError, match=r"00000\.tar.*: not found; copy it, or pack the shards again"):
        list(ShardReads(folder, read_manifest(folder)).read([places[0], places[20]]))


def test_samples_stay_readable_when_their_shard_is_no_longer_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr("infimm_data.shard_reads.MAX_MAPPED", 2)
    folder = str(tmp_path)
    write_manifest(folder, [write_shard(folder, n, MANY[n * 20 : n * 20 + 20]) for n in range(5)])
    found = list(ShardReads(folder, read_manifest(folder)).read(places_of(folder)))
    assert [dict(one.files) for one in found] == [one.files for one in MANY]
