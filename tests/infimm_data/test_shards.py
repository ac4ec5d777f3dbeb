"""Shards: what plain webdataset and tar read, and what is said of damage."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from infimm_data.document import Document, ImageNode, Origin, TextNode, document_id, to_json
from infimm_data.errors import ConfigError, ShardError
from infimm_data.files import join, read_bytes, sha256_of, write_bytes
from infimm_data.shards import (
    Sample,
    SampleLocation,
    finished_shard,
    read_index,
    read_manifest,
    read_sample,
    shard_name,
    tar_member,
    write_manifest,
    write_shard,
)


def sample(n, num_images=2, size=700):
    origin = Origin(dump="d", offset=n, url=f"https://a.example/{n}")
    files = {f"{i}.{'jpg' if i % 2 else 'png'}": bytes([i % 251]) * (size + i) for i in range(num_images)}
    images = [ImageNode(url=f"u{i}", file=name, sha256="x") for i, name in enumerate(files)]
    nodes = (TextNode(text=f"text of {n}"), *images)
    return Sample(Document(id=document_id(origin), nodes=nodes, origin=origin), files)


SAMPLES = [sample(0), sample(1, num_images=0), sample(2, num_images=31), sample(3, size=0)]


@pytest.fixture
def folder(tmp_path):
    """A finished set of one shard."""
    write_manifest(str(tmp_path), [write_shard(str(tmp_path), 0, SAMPLES, fingerprint="f")])
    return str(tmp_path)


def test_tarfile_reads_names_and_bytes_in_order_and_nothing_of_this_machine(folder):
    with tarfile.open(join(folder, "00000.tar")) as tar:
        members = tar.getmembers()
        found = [(member.name, tar.extractfile(member).read()) for member in members]
    expected = []
    for one in SAMPLES:
        expected.append((f"{one.document.id}.json", to_json(one.document)))
        expected += [(f"{one.document.id}.{name}", data) for name, data in one.files.items()]
    assert found == expected
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


@pytest.mark.parametrize("name", ["a", "000001.jpeg", "n" * 100, "é" * 50, "d/" + "n" * 99, "\udcff.png"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 100_000])
def test_a_tar_member_is_what_tarfile_would_write(name, size):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(b"x" * size))
        written = file.getvalue()[: tar.offset]
    assert tar_member(name, b"x" * size) == written


def test_images_beyond_the_tenth_stay_in_order(folder):
    with tarfile.open(join(folder, "00000.tar")) as tar:
        names = [name.partition(".")[2] for name in tar.getnames() if name.startswith(SAMPLES[2].document.id)]
    assert names[:4] == ["json", "0.png", "1.jpg", "2.png"]
    assert names[10:13] == ["9.jpg", "10.png", "11.jpg"]
    assert len(names) == 32


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its file open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_plain_webdataset_groups_by_key_and_the_node_names_its_field(folder):
    found = list(webdataset.WebDataset(join(folder, "00000.tar"), shardshuffle=False))
    assert [one["__key__"] for one in found] == [one.document.id for one in SAMPLES]
    for one, read in zip(SAMPLES, found, strict=True):
        fields = {key: data for key, data in read.items() if not key.startswith("__")}
        assert fields.pop("json") == to_json(one.document)
        nodes = [node for node in json.loads(read["json"])["nodes"] if node["type"] == "image"]
        assert {node["file"]: fields[node["file"]] for node in nodes} == fields == one.files


def test_the_index_leads_to_every_sample(folder):
    (info,) = read_manifest(folder)
    places = read_index(folder, info)
    assert [place.key for place in places] == [one.document.id for one in SAMPLES]
    assert [place.num_images for place in places] == [2, 0, 31, 2]
    assert [place.num_words for place in places] == [3, 3, 3, 3]
    assert [read_sample(folder, place) for place in reversed(places)] == SAMPLES[::-1]
    with tarfile.open(join(folder, "00000.tar")) as tar:
        starts = [member.offset for member in tar.getmembers() if member.name.endswith(".json")]
    assert [place.offset for place in places] == starts


def test_the_manifest_says_what_is_there(folder):
    (info,) = read_manifest(folder)
    data = read_bytes(join(folder, "00000.tar"))
    assert info.sha256 == hashlib.sha256(data).hexdigest() == sha256_of(join(folder, "00000.tar"))
    assert (info.name, info.size_bytes, info.num_documents, info.num_images) == ("00000.tar", len(data), 4, 35)


def test_equal_samples_make_equal_shards(tmp_path):
    one = write_shard(str(tmp_path / "a"), 0, SAMPLES)
    two = write_shard(str(tmp_path / "b"), 0, iter(SAMPLES))
    assert one == two
    assert write_shard(str(tmp_path / "c"), 0, SAMPLES[::-1]).sha256 != one.sha256


def test_a_shard_without_samples_is_an_empty_tar(tmp_path):
    info = write_shard(str(tmp_path), 12, [])
    assert (info.name, info.num_documents, info.size_bytes) == ("00012.tar", 0, 1024)
    assert read_index(str(tmp_path), info) == []
    with tarfile.open(tmp_path / "00012.tar") as tar:
        assert tar.getnames() == []


def test_shards_lie_on_any_file_system():
    folder = "memory://shards-test"
    write_manifest(folder, [write_shard(folder, 0, SAMPLES)])
    (info,) = read_manifest(folder)
    assert [read_sample(folder, place) for place in read_index(folder, info)] == SAMPLES
    assert sha256_of(join(folder, info.name)) == info.sha256


def test_a_shard_is_finished_only_for_the_same_fingerprint_and_whole(folder):
    (info,) = read_manifest(folder)
    assert finished_shard(folder, 0, fingerprint="f") == info
    assert finished_shard(folder, 0, fingerprint="g") is None
    assert finished_shard(folder, 1, fingerprint="f") is None
    write_bytes(join(folder, "00000.tar"), b"short")
    assert finished_shard(folder, 0, fingerprint="f") is None


def test_an_index_never_vouches_for_the_tar_of_another_result(folder):
    def stop_after_the_tar():
        yield SAMPLES[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(folder, 0, stop_after_the_tar(), fingerprint="g")
    assert finished_shard(folder, 0, fingerprint="f") is None
    assert finished_shard(folder, 0, fingerprint="g") is None


def test_a_shard_whose_samples_fail_is_not_there(tmp_path):
    bad = replace(SAMPLES[0], files={})
    with pytest.raises(ValueError, match="image nodes and files differ"):
        write_shard(str(tmp_path), 0, [SAMPLES[1], bad])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["a.b", "a/b"])
def test_a_key_with_dot_or_slash_is_refused(tmp_path, key):
    with pytest.raises(ValueError, match="no dot and no slash"):
        write_shard(str(tmp_path), 0, [Sample(Document(id=key, nodes=()), {})])


def test_shard_names_sort():
    assert [shard_name(n) for n in (0, 99_999, 100_000)] == ["00000.tar", "99999.tar", "100000.tar"]


def damaged(folder, place, position, value):
    data = bytearray(read_bytes(join(folder, place.shard)))
    data[place.offset + position : place.offset + position + len(value)] = value
    write_bytes(join(folder, place.shard), bytes(data))
    return place


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, b"x"), (124, b"77777777777"), (512, b"?"), (0, b"\0" * 512), (124, b"\xff" * 12), (600, b"\xff")],
)
def test_a_damaged_sample_is_named_with_its_place(folder, position, value):
    place = damaged(folder, read_index(folder, read_manifest(folder)[0])[2], position, value)
    with pytest.raises(ShardError, match=f"^00000.tar at byte {place.offset}, sample {place.key}: .*pack it again$"):
        read_sample(folder, place)


def test_a_size_below_zero_does_not_walk_for_ever(folder):
    place = read_index(folder, read_manifest(folder)[0])[0]
    info = tarfile.TarInfo(f"{place.key}.json")
    info.size = -512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    damaged(folder, place, 0, bytes(header))
    with pytest.raises(ShardError, match="not a sample"):
        read_sample(folder, place)


@pytest.mark.parametrize(("offset", "size"), [(0, 100), (10**9, 1024), (512, 1024), (0, 0)])
def test_a_place_that_holds_no_sample_is_an_error(folder, offset, size):
    place = SampleLocation(
        shard="00000.tar", key=SAMPLES[0].document.id, offset=offset, size=size, num_images=2, num_words=3
    )
    with pytest.raises(ShardError, match="not a sample"):
        read_sample(folder, place)


def test_a_sample_without_all_its_images_is_an_error(folder):
    place = read_index(folder, read_manifest(folder)[0])[0]
    short = replace(place, size=len(_tar_start(folder, place)))
    with pytest.raises(ShardError, match=r"images and files differ in 0\.png, 1\.jpg"):
        read_sample(folder, short)


def _tar_start(folder, place):
    """The JSON member alone, padding included."""
    size = len(to_json(SAMPLES[0].document))
    return b"x" * (512 + size + -size % 512)


def test_a_shard_that_is_gone_is_named(folder):
    place = read_index(folder, read_manifest(folder)[0])[0]
    with pytest.raises(ShardError, match=r"00009\.tar: not found"):
        read_sample(folder, replace(place, shard="00009.tar"))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 1000])
def test_a_damaged_index_is_named(folder, data):
    (info,) = read_manifest(folder)
    write_bytes(join(folder, "00000.index.parquet"), data)
    with pytest.raises(ShardError, match=r"00000\.index\.parquet: not an index .*pack the shards again"):
        read_index(folder, info)


def test_an_index_of_other_columns_or_length_is_named(folder):
    (info,) = read_manifest(folder)
    with pytest.raises(ShardError, match="4 samples, expected 5"):
        read_index(folder, replace(info, num_documents=5))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": ["a"] * 4}), buffer)
    write_bytes(join(folder, "00000.index.parquet"), buffer.getvalue())
    with pytest.raises(ShardError, match=r"columns \['key'\], expected \['key', 'offset'"):
        read_index(folder, info)
    with pytest.raises(ShardError, match="not found"):
        read_index(folder, replace(info, name="00009.tar"))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"schema":1}', b'{"schema":1,"shards":[{}]}', b"\xff", b'{"schema":"1"}']
)
def test_a_damaged_manifest_is_named(folder, data):
    write_bytes(join(folder, "manifest.json"), data)
    with pytest.raises(ShardError, match=r"manifest\.json: not a manifest .*pack the shards again"):
        read_manifest(folder)


def test_a_folder_without_manifest_is_not_finished(tmp_path):
    with pytest.raises(ConfigError, match=r"manifest\.json: not found; expected a folder of shards"):
        read_manifest(str(tmp_path))


def test_a_manifest_of_the_future_asks_for_an_update(folder):
    write_bytes(join(folder, "manifest.json"), b'{"schema":2,"shards":[]}')
    with pytest.raises(ShardError, match="update infimm"):
        read_manifest(folder)
