"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from fsspec.implementations.local import LocalFileSystem

from infimm_data.errors import ConfigError
from infimm_data.files import (
    absolute,
    exists,
    file_system,
    identity,
    join,
    open_whole,
    read_bytes,
    remove,
    remove_leftovers,
    resolve,
    sha256_of,
    write_bytes,
)


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A folder on each kind of file system."""
    where = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}"
    yield where
    fs, inside = file_system(where)
    if fs.exists(inside):
        fs.rm(inside, recursive=True)


def names(folder):
    fs, inside = file_system(folder)
    return sorted(path.rpartition("/")[2] for path in fs.find(inside))


def test_a_file_appears_when_its_block_ends_and_not_before(folder):
    path = join(folder, "a", "b.bin")
    with open_whole(path) as file:
        file.write(b"12")
        file.flush()
        assert not exists(path)
    assert read_bytes(path) == b"12"
    assert names(folder) == ["b.bin"]


def write_half(path, error):
    with open_whole(path) as file:
        file.write(b"12")
        raise error


def test_an_exception_leaves_nothing(folder):
    with pytest.raises(KeyError):
        write_half(join(folder, "b.bin"), KeyError)
    assert names(folder) == []


def test_an_exception_leaves_the_earlier_file(folder):
    path = join(folder, "b.bin")
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt)
    assert read_bytes(path) == b"old"
    assert names(folder) == ["b.bin"]


def test_a_new_file_takes_the_place_of_the_old(folder):
    path = join(folder, "b.bin")
    write_bytes(path, b"old, and longer")
    write_bytes(path, b"new")
    assert read_bytes(path) == b"new"


def test_equal_bytes_are_not_written_again(tmp_path):
    path = tmp_path / "b.bin"
    write_bytes(str(path), b"same")
    before = path.stat()
    write_bytes(str(path), b"same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_killed_writer_leaves_part_files_only_and_they_are_removed(tmp_path):
    code = (
        "import sys, time\nfrom infimm_data.files import open_whole\n"
        "with open_whole(sys.argv[1]) as file:\n"
        "    file.write(b'x' * 100000)\n    file.flush()\n    print('half', flush=True)\n    time.sleep(60)\n"
    )
    path = tmp_path / "deep" / "b.bin"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"half\n"
        os.kill(writer.pid, signal.SIGKILL)
    left = list(path.parent.iterdir())
    assert [file.name.startswith(".part-") for file in left] == [True]
    assert remove_leftovers(str(tmp_path)) == 1
    assert list(path.parent.iterdir()) == []


def test_removing_leftovers_touches_nothing_else(folder):
    write_bytes(join(folder, "x", "kept.bin"), b"1")
    write_bytes(join(folder, "x", ".part-0-lost.bin"), b"1")
    assert remove_leftovers(folder) == 1
    assert remove_leftovers(join(folder, "absent")) == 0
    assert names(folder) == ["kept.bin"]


def test_removing_an_absent_file_is_no_error(folder):
    remove(join(folder, "absent"))


def test_sha256_is_the_same_in_chunks_of_any_size(folder):
    write_bytes(join(folder, "a"), b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(join(folder, "a")) == sha256_of(join(folder, "a"), chunk_bytes=1) == expected


def test_the_identity_of_a_file_changes_with_its_content_and_not_with_its_place(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    os.link(one, two)  # what changes with a link or a chmod is not the content
    two.chmod(0o600)
    assert identity(str(one)) == identity(str(two))
    one.write_bytes(b"12")
    assert identity(str(one)) != ""
    before = identity(str(one))
    time.sleep(0.01)
    one.write_bytes(b"34")
    assert identity(str(one)) != before
    assert identity(str(tmp_path / "absent")) == ""


def test_a_relative_path_becomes_absolute_and_a_url_stays():
    assert absolute("a/b") == f"{os.getcwd()}/a/b"
    assert absolute("memory://a/b") == "memory://a/b"


def test_an_unknown_protocol_is_a_config_error():
    with pytest.raises(ConfigError, match=r"^what://x: .*what"):
        file_system("what://x")


def test_package_paths_lead_into_installed_packages():
    assert resolve("package:infimm_data/files.py").endswith("infimm_data/files.py")
    assert resolve("plain/path") == "plain/path"


@pytest.mark.parametrize("path", ["package:no_such_package/x", "package:", "package:/x"])
def test_an_unknown_package_is_a_config_error(path):
    with pytest.raises(ConfigError, match="expected package:NAME/INSIDE"):
        resolve(path)


def test_what_a_worker_finishes_meanwhile_is_no_leftover(tmp_path, monkeypatch):
    (tmp_path / ".part-0-a.bin").write_bytes(b"1")
    (tmp_path / ".part-1-b.bin").write_bytes(b"1")
    rm_file = LocalFileSystem.rm_file

    def finish_first(fs, path):
        if path.endswith("a.bin"):
            os.replace(path, tmp_path / "a.bin")
        rm_file(fs, path)

    monkeypatch.setattr(LocalFileSystem, "rm_file", finish_first)
    assert remove_leftovers(str(tmp_path)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
