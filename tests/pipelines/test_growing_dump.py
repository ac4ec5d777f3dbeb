"""A dump that grows or is touched: the finished work of its other files stays, the shards are those of a new build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infimm_data.errors import ConfigError
from infimm_data.shards import read_manifest
from pipelines.build import build
from pipelines.layout import Layout
from pipelines.run import Run
from pipelines.sources.contract import WorkItem
from pipelines.stored import stored_items, stored_recipe
from tests.pipelines.made_source import STEPS, WEB, key_of, make_recipe

WITHOUT_MODEL = [step for step in STEPS if step.name != "brightness"]  # whose workers take seconds to start


@pytest.fixture
def growing(dump, tmp_path):
    """A copy of the made dump, to be changed."""
    return shutil.copytree(dump, tmp_path / "dump")


@pytest.fixture
def go(cluster, web, growing):
    def run_build(out):
        asked = len(web.paths)
        run = Run(make_recipe(str(growing), WITHOUT_MODEL), Layout(str(out)), cluster, {WEB: web.address})
        build(run)
        worked = {
            report.name: len(report.results) for report in run.reports if report.results and report.name != "pack"
        }
        return worked, web.paths[asked:]

    return run_build


def shards(out):
    return {
        path.name: path.read_bytes() for path in Path(out, "shards").iterdir() if path.suffix in (".tar", ".json")
    } | {"sha256": [shard.sha256 for shard in read_manifest(f"{out}/shards")]}


def page(url, *images):
    text = " ".join(f"{url} word{n}" for n in range(20))  # unlike that of any other page
    return {"url": url, "nodes": [text, *({"image": image} for image in images)]}


def grow(dump, name, *pages):
    (dump / name).write_text(json.dumps(pages))


def test_a_file_that_sorts_first_is_the_only_one_that_is_extracted_measured_and_fetched(go, growing, tmp_path):
    out = tmp_path / "out"
    go(out)
    before = {path: path.stat().st_mtime_ns for path in (out / "documents").iterdir()}
    grow(growing, "+new.json", page("https://new.example/", f"http://{WEB}/ok?new", "https://new.example/held-40.png"))
    assert go(out) == ({"extract": 1, "measure": 1, "dedup": 2, "fetch": 1}, ["/ok?new"])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [item.name for item in stored_items(Layout(str(out)))] == ["+new.json", "0.json", "1.json", "2.json"]
    go(tmp_path / "fresh")
    assert shards(out) == shards(tmp_path / "fresh")


def test_a_touched_file_is_read_again_alone_and_asks_the_web_only_for_what_is_new(go, growing, tmp_path):
    out = tmp_path / "out"
    pages = [page(f"https://t.example/{n}", f"http://{WEB}/ok?{n}", "https://t.example/held-40.png") for n in range(3)]
    grow(growing, "t.json", *pages[:2])
    go(out)
    grow(growing, "t.json", *pages)
    assert go(out) == ({"extract": 1, "measure": 1, "dedup": 2, "fetch": 1}, ["/ok?2"])
    go(tmp_path / "fresh")
    assert shards(out) == shards(tmp_path / "fresh")


def test_a_file_that_leaves_the_dump_leaves_the_decisions_and_keeps_its_work(go, growing, tmp_path):
    out, moved = tmp_path / "out", growing / "t.json"
    grow(growing, moved.name, page("https://t.example/", f"http://{WEB}/ok?t"))
    go(out)
    away = moved.rename(growing.parent / "t.json")
    assert go(out) == ({"dedup": 2}, [])
    listed = sorted(path.stem for path in (out / "decisions" / "documents").iterdir())
    assert listed == [key_of(f"{n}.json") for n in range(3)]
    away.rename(moved)
    assert go(out) == ({"dedup": 2}, [])


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b/CC-MAIN-2023.warc.gz", "CC-MAIN-2023_warc_gz"),
        ("part.parquet[0:10]", "part_parquet_0_10"),
        ("../../etc/passwd", "passwd"),
        ("图片.json", "json"),
        ("..", "item"),
        ("", "item"),
        ("x" * 300, "x" * 64),
        ("a\0\n\ud800", "a"),
    ],
)
def test_a_key_is_the_safe_end_of_the_name_and_a_digest_of_all_of_it(name, stem):
    found, _, digest = key_of(name).rpartition("-")
    assert found == stem
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert key_of("other/" + name) != key_of(name)


def test_a_key_does_not_depend_on_where_the_item_stands_or_lies():
    first = WorkItem(index=0, name="a.json", path="/x/a.json", size_bytes=1)
    assert first.key == WorkItem(index=7, name="a.json", path="s3://y/a.json", size_bytes=2).key


def test_a_folder_of_the_version_that_numbered_its_work_items_is_refused_in_one_line(go, tmp_path):
    old = tmp_path / "old" / "documents"
    old.mkdir(parents=True)
    (old / "00000.parquet").write_bytes(b"")
    expected = r"old: holds documents/00000\.parquet of an older version.*build into another folder"
    with pytest.raises(ConfigError, match=expected):
        go(tmp_path / "old")
    with pytest.raises(ConfigError, match=expected):
        stored_recipe(Layout(str(tmp_path / "old")))
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["documents"]
