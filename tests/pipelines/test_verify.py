"""Shards are what was written, and two sets are compared by what they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infimm_data.shards import read_index, read_manifest, read_sample, write_manifest, write_shard
from pipelines.cli import main


@pytest.fixture
def copied(first, tmp_path):
    """The shards of a finished build, to be damaged."""
    return Path(shutil.copytree(first / "shards", tmp_path / "shards"))


@pytest.fixture
def command(cluster, capsys):
    """Run a command on the session's Ray; return (exit status, what it printed)."""

    def run(*arguments):
        status = main(list(map(str, arguments)))
        return status, capsys.readouterr().out

    return run


def samples(folder):
    return [read_sample(str(folder), place) for s in read_manifest(str(folder)) for place in read_index(str(folder), s)]


def test_whole_shards_are_whole(first, command):
    assert command("verify", first)[0] == 0


def test_one_flipped_byte_is_found_and_the_shard_named(copied, command):
    path = copied / "00001.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    status, printed = command("verify", copied)
    assert status == 1
    assert "00001.tar: sha256 differs" in printed
    assert "1 problems" in printed


def test_a_missing_a_cut_and_an_index_of_another_are_found(copied, command):
    (copied / "00000.tar").unlink()
    (copied / "00001.tar").write_bytes((copied / "00001.tar").read_bytes()[:-512])
    shutil.copy(copied / "00001.index.parquet", copied / "00002.index.parquet")
    status, printed = command("verify", copied)
    assert status == 1
    assert "00000.tar: not found" in printed
    assert "00001.tar: " in printed
    assert "bytes, expected" in printed
    assert "00002" in printed


def test_a_document_in_two_shards_is_found(copied, command):
    first = samples(copied)[:2]
    shutil.rmtree(copied)
    write_manifest(str(copied), [write_shard(str(copied), number, first) for number in range(2)])
    status, printed = command("verify", copied)
    assert status == 1
    assert printed.count("stands in 00000.tar too") == 2


def test_a_folder_without_shards_is_one_line(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert "no finished shards there" in capsys.readouterr().err


def test_equal_sets_do_not_differ_whatever_their_order(first, copied, command):
    turned = samples(copied)[::-1]
    shutil.rmtree(copied)
    write_manifest(str(copied), [write_shard(str(copied), 0, turned)])
    assert command("diff", first, copied)[0] == 0


def test_what_is_missing_and_what_changed_is_named(first, copied, command):
    lost, changed, *rest = samples(copied)
    object.__setattr__(changed.document, "measures", {"other": 1})
    shutil.rmtree(copied)
    write_manifest(str(copied), [write_shard(str(copied), 0, [changed, *rest])])
    status, printed = command("diff", first, copied)
    assert status == 1
    assert f"1 documents only in {first}/shards: {lost.document.id}" in printed
    assert f"0 documents only in {copied}\n" in printed
    assert f"1 documents in both, with other bytes: {changed.document.id}" in printed


def test_a_manifest_of_another_time_is_found(copied, command):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["shards"][0]["num_documents"] += 1
    (copied / "manifest.json").write_text(json.dumps(manifest))
    status, printed = command("verify", copied)
    assert status == 1
    assert "samples, expected" in printed
