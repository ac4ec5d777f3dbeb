"""Members of a tar: read in order, bounded, and what is behind damage is said to be lost."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from infimm_data.errors import SourceError
from pipelines.records.tars import Member, read_members, split_name
from pipelines.sources.contract import WorkItem


def tar(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    """Return a function that writes bytes into a tar file and returns its JSON members, in short."""

    def read_file(data, max_bytes=1000):
        (tmp_path / "a.tar").write_bytes(data)
        item = WorkItem(index=0, name="a.tar", path=str(tmp_path / "a.tar"), size_bytes=len(data))
        found = read_members(item, lambda key, suffix: suffix == "json", max_bytes)
        return [(one.key, one.data) if isinstance(one, Member) else one.reason for one in found]

    return read_file


THREE = tar(("a.json", b"1" * 600), ("a.tiff", b"t" * 2000), ("b.json", b"2" * 600), ("c.json", b"3" * 600))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.json", ("a", "json")), ("x.y/a.0.jpg", ("x.y/a", "0.jpg")), ("a", ("a", "")), ("../a.JSON", ("../a", "json"))],
)
def test_a_name_is_cut_at_the_first_dot_behind_its_folder(name, expected):
    assert split_name(name) == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_wanted_members_come_in_order(read, pack):
    assert read(pack(THREE)) == [("a", b"1" * 600), ("b", b"2" * 600), ("c", b"3" * 600)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_tars_behind_each_other_in_one_file_are_all_read(read, pack):
    both = pack(THREE) + pack(tar(("d.json", b"4"), ("e.json", b"5")))
    assert read(both) == [("a", b"1" * 600), ("b", b"2" * 600), ("c", b"3" * 600), ("d", b"4"), ("e", b"5")]


def test_a_header_that_was_zeroed_loses_what_is_behind_it_and_says_so(read):
    at = THREE.index(b"b.json")
    assert read(THREE[:at] + bytes(512) + THREE[at + 512 :]) == [("a", b"1" * 600), "damaged_record"]


@pytest.mark.parametrize("size", [512, 1024, 10_240, 1 << 20])
def test_a_tar_of_nothing_has_no_members_and_a_long_end_is_an_end(read, size):
    assert read(bytes(size)) == []
    assert read(THREE.rstrip(b"\0") + bytes(-len(THREE.rstrip(b"\0")) % 512 + size))[-1] == ("c", b"3" * 600)


def test_links_are_no_members_and_large_ones_are_counted(read):
    assert read(tar(("a.json", None), ("b.json", b"x" * 1001), ("c.json", b"x"))) == ["record_too_large", ("c", b"x")]


def test_offsets_name_the_member(tmp_path):
    (tmp_path / "a.tar").write_bytes(THREE)
    item = WorkItem(index=0, name="a.tar", path=str(tmp_path / "a.tar"), size_bytes=1)
    assert [one.offset for one in read_members(item, lambda key, suffix: True, 9999)] == [0, 1536, 4096, 5632]


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        (5632, 2),
        (6000, 2),
        (5632 + 100, 2),
        (4096 + 512 + 10, 1),
    ],  # before c; in its data, in its header; in b
)
def test_a_tar_that_was_cut_off_gives_what_is_whole_and_says_so(read, cut, whole):
    found = read(THREE[:cut])
    assert found[-1] == "damaged_record"
    assert [key for key, _ in found[:-1]] == ["a", "b"][:whole]


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(read):
    data = bytearray(THREE)
    data[4096 : 4096 + 512] = b"x" * 512
    assert read(bytes(data)) == [("a", b"1" * 600), "damaged_record"]


@pytest.mark.parametrize("data", [b"", b"no tar" * 200, b"\x1f\x8b broken"])
def test_what_is_no_tar_fails_in_one_line(read, data):
    with pytest.raises(SourceError, match=r"a\.tar: cannot be read as a tar"):
        read(data)
