"""Lines of JSON from plain, gzip and zip files: broken ones are counted, their neighbours are read."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile

import pytest

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import Skipped, WorkItem

GOOD = [{"n": number, "text": "ä" * number} for number in range(5)]
LINES = b"".join(json.dumps(one).encode() + b"\n" for one in GOOD)


@pytest.fixture
def read(tmp_path):
    """Return a function that writes bytes into a file and returns what is read of it, in short."""

    def read_file(data, name="a.jsonl", max_bytes=1000):
        path = tmp_path / name
        path.write_bytes(data)
        item = WorkItem(index=0, name=name, path=str(path), size_bytes=len(data))
        found = list(read_rows(item, RowFormat(max_bytes=max_bytes)))
        return [one.data.get("n") if isinstance(one, Record) else one.reason for one in found]

    return read_file


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_all_three_kinds_of_file_give_the_same_records(read):
    expected = [0, 1, 2, 3, 4]
    assert read(LINES) == expected
    assert read(LINES.replace(b"\n", b"\r\n").rstrip()) == expected
    assert read(b"\xef\xbb\xbf" + LINES) == expected
    assert read(gzip.compress(LINES), "a.jsonl.gz") == expected
    assert read(gzip.compress(LINES[:40]) + gzip.compress(LINES[40:]), "a.jsonl.gz") == expected
    assert read(zipped(("docs_shard_0_v2.jsonl", LINES)), "a.jsonl.zip") == expected


def test_a_zip_of_several_members_is_read_in_its_order_and_what_is_no_data_is_not(read):
    data = zipped(("b.jsonl", b'{"n": 1}'), ("a/c.jsonl", b'{"n": 2}\n'), ("__MACOSX/b.jsonl", b"x"), ("README", b"x"))
    assert read(data, "a.zip") == [1, 2]


def test_offsets_name_the_line_and_dumps_the_member(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(("m.jsonl", b'{"n": 1}\n\n{"n": 2}\n')))
    item = WorkItem(index=0, name="a.zip", path=str(tmp_path / "a.zip"), size_bytes=1)
    found = list(read_rows(item, RowFormat(max_bytes=100)))
    assert [(one.dump, one.offset) for one in found] == [("a.zip/m.jsonl", 0), ("a.zip/m.jsonl", 10)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b'{"n": 1', "not_json"),
        (b"[1, 2]", "not_json"),
        (b"null", "not_json"),
        (b"\xff\xfe{}", "not_json"),
        (b'{"n": "\xff"}', "not_json"),
        (b"[" * 900, "not_json"),
        (b'{"n": ' + b"9" * 990 + b"}", None),
        (b"x" * 2000, "record_too_large"),
        (b"x" * 70_000_00, "record_too_large"),
    ],
)
def test_a_broken_line_costs_itself_only(read, line, reason):
    found = read(b'{"n": 0}\n' + line + b'\n{"n": 2}\n')
    assert (found[0], found[-1], len(found)) == (0, 2, 3)
    assert found[1] == reason if reason else isinstance(found[1], int)


def test_blank_lines_hold_nothing_and_a_file_without_bytes_is_counted(read):
    assert read(b"") == ["empty_file"]
    assert read(b"\n \r\n\n") == []
    assert read(gzip.compress(b""), "a.jsonl.gz") == []


def test_a_line_at_the_bound_is_read_and_one_byte_more_is_not(read):
    line = b'{"n": 1}'
    assert read(line + b"\n", max_bytes=9) == [1]
    assert read(line + b"x\n", max_bytes=9) == ["record_too_large"]


def test_a_file_that_is_one_value_over_many_lines_is_read_whole(read):
    assert read(json.dumps(GOOD[1], indent=1).encode()) == [1]
    assert read(json.dumps(GOOD, indent=2).encode()) == [0, 1, 2, 3, 4]
    assert read(json.dumps([*GOOD, 7]).encode()) == [0, 1, 2, 3, 4, "not_json"]
    assert read(json.dumps(GOOD[1], indent=1).encode()[:-1]) == ["not_json"]
    assert read(json.dumps(GOOD[1], indent=1).encode(), max_bytes=20) == ["record_too_large"]
    assert read(json.dumps(GOOD, indent=2).encode()[:-30]) == [0, 1, 2, 3, "damaged_record"]


def test_one_value_over_many_lines_of_a_gzip_that_ends_early_is_counted(read):
    value = json.dumps({"n": 1, "x": [n * 7919 % 10007 for n in range(9_000)]}, indent=1).encode()
    assert read(gzip.compress(value)[:-2000], "a.json.gz", max_bytes=1_000_000) == ["damaged_record"]


def test_a_first_line_that_is_a_list_costs_itself_only(read):
    assert read(b'[1, 2]\n{"n": 1}\n{"n": 2}\n') == ["not_json", 1, 2]


def test_a_gzip_that_ends_early_gives_what_is_whole_and_says_so(read):
    many = b"".join(b'{"n": %d, "x": "%d"}\n' % (n, n * 7919 % 10007) for n in range(3000))
    found = read(gzip.compress(many)[:-2000], "a.jsonl.gz")
    assert found[-1] == "damaged_record"
    assert found[:-1] == list(range(len(found) - 1))
    assert 1000 < len(found) < 3000


def test_damage_inside_a_zip_member_costs_no_other_member(read):
    data = bytearray(zipped(("a.jsonl", LINES), ("b.jsonl", b'{"n": 9}'), compression=zipfile.ZIP_STORED))
    at = data.index(b'"n": 4')
    data[at + 5 : at + 6] = b"8"  # the checksum does not fit any more
    found = read(bytes(data), "a.zip")
    assert found.count("damaged_record") == 1
    assert found[-1] == 9


def test_an_encrypted_member_is_counted(read):
    data = bytearray(zipped(("a.jsonl", LINES), ("b.jsonl", b'{"n": 9}')))
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    data[6] |= 1
    assert read(bytes(data), "a.zip") == ["damaged_record", 9]


def test_a_zip_that_was_cut_off_gives_what_is_whole_and_says_so(read):
    many = b"".join(b'{"n": %d, "x": "%d"}\n' % (n, n * 7919 % 10007) for n in range(3000))
    whole = zipped(("a.jsonl", many), ("b.jsonl", LINES))
    found = read(whole[: len(whole) // 2], "a.zip")
    assert found[-2:] == ["damaged_record", "damaged_record"]
    assert found[:-2] == list(range(len(found) - 2))
    assert 1000 < len(found) < 2500
    assert read(whole[:-1], "a.zip") == [*range(3000), "damaged_record"]  # only the directory is broken


def test_the_records_of_a_cut_zip_keep_their_names(tmp_path):
    whole = zipped(("m.jsonl", b'{"n": 1}\n'))
    for data in (whole, whole[:-1]):
        (tmp_path / "a.zip").write_bytes(data)
        item = WorkItem(index=0, name="a.zip", path=str(tmp_path / "a.zip"), size_bytes=1)
        found = next(read_rows(item, RowFormat(max_bytes=100)))
        assert (found.dump, found.offset) == ("a.zip/m.jsonl", 0)


@pytest.mark.parametrize("cut", [4, 29])
def test_a_zip_without_a_whole_header_fails_in_one_line(read, cut):
    with pytest.raises(SourceError, match=r"a\.zip: cannot be read as a zip .*; is the download whole\? Replace it\."):
        read(zipped(("a.jsonl", LINES * 50))[:cut], "a.zip")


def test_a_stored_member_without_directory_fails_in_one_line(read):
    with pytest.raises(SourceError, match="a first member that is not deflated"):
        read(zipped(("a.jsonl", LINES), compression=zipfile.ZIP_STORED)[:-30], "a.zip")


def test_a_zip_without_data_fails_in_one_line(read):
    with pytest.raises(SourceError, match="0 members with data, expected 1 to 10000 that end in"):
        read(zipped(("README", b"x")), "a.zip")


def test_memory_does_not_grow_with_the_file(tmp_path):
    line = b'{"n": 1, "text": "' + b"word " * 400 + b'"}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line * 10_000, 1))  # 20 MB once inflated
    item = WorkItem(index=0, name="a", path=str(tmp_path / "a.jsonl.gz"), size_bytes=1)
    tracemalloc.start()
    number = sum(not isinstance(one, Skipped) for one in read_rows(item, RowFormat(max_bytes=1_000_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == 10_000
    assert peak < 2_000_000
