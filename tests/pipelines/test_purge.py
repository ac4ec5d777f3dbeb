"""Takedown: what was asked to go is in no shard and in no later build, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from filters.table import FILTERS
from infimm_data.errors import ConfigError
from infimm_data.shards import read_index, read_manifest, read_sample
from infimm_data.tables import read_table
from pipelines.build import build
from pipelines.cli import main
from pipelines.layout import Layout
from pipelines.life import documents_of
from pipelines.purge import purge
from pipelines.run import Run
from pipelines.sources.table import SOURCES
from pipelines.verify import verify
from tests.pipelines.made_source import STEPS, WEB, Brightness, MadeSource, make_recipe

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAGE = "https://site1.example/6"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The made source and its filter have names in a recipe."""
    monkeypatch.setitem(SOURCES, "made", MadeSource)
    monkeypatch.setitem(FILTERS, "brightness", Brightness)


@pytest.fixture
def out(first, tmp_path):
    """A copy of the finished build."""
    return Layout(str(shutil.copytree(first, tmp_path / "out")))


def samples(layout):
    shards = read_manifest(layout.shards)
    return [read_sample(layout.shards, place) for shard in shards for place in read_index(layout.shards, shard)]


def pages(layout):
    return [sample.document.origin.url for sample in samples(layout)]


def image_urls(layout):
    return [node.url for sample in samples(layout) for node in sample.document.images]


def digests(layout):
    return {shard.name: shard.sha256 for shard in read_manifest(layout.shards)}


def test_a_page_leaves_its_shard_and_the_other_shards_stay_as_they_are(out, cluster):
    before, held = digests(out), pages(out)
    found = purge(out, [PAGE], cluster, NOW)
    assert pages(out) == [url for url in held if url != PAGE]
    changed = {name for name, digest in digests(out).items() if digest != before[name]}
    assert set(found.shards) == changed
    assert len(changed) == 1
    assert len(found.documents) == 1
    assert verify(out.shards, cluster) == []


def test_an_image_leaves_its_document_whose_text_is_joined(out, cluster):
    held = image_urls(out)
    document = next(
        sample.document
        for sample in samples(out)
        if len(sample.document.images) > 1 and held.count(sample.document.images[0].url) == 1
    )
    url = document.images[0].url
    found = purge(out, [url], cluster, NOW)
    assert url not in image_urls(out)
    assert len(image_urls(out)) == len(held) - 1
    assert [found.documents, found.documents_with_images] == [(), (document.id,)]
    (sample,) = [sample for sample in samples(out) if sample.document.id == document.id]
    assert sample.document.text == document.text
    assert [node.file for node in sample.document.images] == [f"{n}.png" for n in range(len(sample.document.images))]
    assert verify(out.shards, cluster) == []


def test_a_twin_with_more_images_does_not_displace_what_lost_one(out, cluster):
    twin = next(sample.document for sample in samples(out) if sample.document.origin.url.endswith("/2"))
    purge(out, [twin.images[0].url], cluster, NOW)
    (sample,) = [sample for sample in samples(out) if sample.document.origin.url.endswith("/2")]
    assert (sample.document.id, len(sample.document.images)) == (twin.id, len(twin.images) - 1)


def test_a_document_that_loses_its_last_image_goes_as_the_recipe_says(out, cluster):
    (life,) = documents_of(out, PAGE)
    found = purge(out, [image.decision["url"] for image in life.images], cluster, NOW)
    assert life.origin["id"] in found.documents
    assert PAGE not in pages(out)


def test_a_later_build_keeps_it_out_and_gives_the_bytes_of_a_build_that_never_had_it(out, cluster, web, dump, tmp_path):
    purge(out, [PAGE], cluster, NOW)
    build(Run(make_recipe(dump, STEPS), out, cluster, {WEB: web.address}))
    assert PAGE not in pages(out)
    fresh = Layout(str(tmp_path / "fresh"))
    Path(fresh.purge("urls.txt")).parent.mkdir(parents=True)
    Path(fresh.purge("urls.txt")).write_text(f"{PAGE}\n")
    build(Run(make_recipe(dump, STEPS), fresh, cluster, {WEB: web.address}))
    assert digests(fresh) == digests(out)


def test_a_later_build_changes_no_document_that_stays_and_finds_no_copy_of_what_went(out, cluster, web, dump):
    held = samples(out)
    (gone,) = purge(out, [PAGE], cluster, NOW).documents
    indices = [out.groups(f"{name}.index") for name in ("exact_duplicate_text", "near_duplicate_text")]
    assert all(gone not in read_table(path).column("id").to_pylist() for path in indices)
    build(Run(make_recipe(dump, STEPS), out, cluster, {WEB: web.address}))
    assert samples(out) == [sample for sample in held if sample.document.id != gone]
    assert all(gone not in read_table(path).column("id").to_pylist() for path in indices)


def test_it_is_told_why_and_in_the_funnel(out, cluster):
    purge(out, [PAGE], cluster, NOW)
    (life,) = documents_of(out, PAGE)
    assert (life.decision["step"], life.decision["reason"], life.place) == ("purge", "purged", None)
    funnel = json.loads(Path(out.report("funnel.json")).read_text())
    assert funnel["steps"][0]["dropped"] == 1
    assert funnel["shards"]["documents"] == len(pages(out))


def test_every_purge_leaves_its_line(out, cluster):
    purge(out, [PAGE], cluster, NOW)
    purge(out, ["https://nobody.example/"], cluster, NOW)
    lines = [json.loads(line) for line in Path(out.purge("audit.jsonl")).read_text().splitlines()]
    assert [line["urls"] for line in lines] == [[PAGE], ["https://nobody.example/"]]
    assert [len(line["documents_removed"]) for line in lines] == [1, 0]
    assert lines[0]["time"] == "2026-01-02T03:04:05+00:00"
    assert Path(out.purge("urls.txt")).read_text() == f"https://nobody.example/\n{PAGE}\n"


def test_what_nobody_has_changes_no_shard(out, cluster):
    before = digests(out)
    assert purge(out, ["https://nobody.example/"], cluster, NOW).shards == ()
    assert digests(out) == before


def test_without_shards_nothing_is_done(cluster, tmp_path):
    with pytest.raises(ConfigError, match="no finished shards there"):
        purge(Layout(str(tmp_path)), [PAGE], cluster, NOW)
    assert list(tmp_path.iterdir()) == []


def test_the_command_reads_a_list(out, cluster, tmp_path, capsys):
    (tmp_path / "urls.txt").write_text(f"\n{PAGE}\n{PAGE}\n")
    assert main(["purge", out.out, "--urls", str(tmp_path / "urls.txt")]) == 0
    assert "1 URLs: 1 documents left the shards, 0 lost images, 1 shards rewritten" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"\n", "holds no URL"), (b"\xff", "UTF-8")])
def test_a_list_that_is_none_is_one_line(content, message, out, tmp_path, capsys):
    path = tmp_path / "urls.txt"
    if content is not None:
        path.write_bytes(content)
    assert main(["purge", out.out, "--urls", str(path)]) == 2
    assert message in capsys.readouterr().err
