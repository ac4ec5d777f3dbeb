"""Image-caption sets on the whole road: two of img2dataset's shards, and LAION's table over a network of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infimm_data.errors import ConfigError
from infimm_data.shards import read_index, read_manifest, read_sample
from pipelines.build import build
from pipelines.layout import Layout
from pipelines.recipe import load_recipe
from pipelines.run import Run
from tests.pipelines.sources.test_image_captions import laion, write_parquet
from tests.pipelines.sources.test_img2dataset_shards import members, write_tar
from tests.web_server import HostileWeb

HOST = "pictures.example"


def samples(out):
    folder = f"{out}/shards"
    return [read_sample(folder, place) for shard in read_manifest(folder) for place in read_index(folder, shard)]


def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_recipe(str(path))


def test_shards_of_img2dataset_are_built_without_a_network_and_a_threshold_is_decided_again(cluster, tmp_path):
    dump = tmp_path / "dump"
    dump.mkdir()
    for number in range(2):
        named = [m for n in range(4 * number, 4 * number + 4) for m in members(n, similarity=n / 10)]
        write_tar(dump / f"{number:05d}.tar", named)
    steps = "steps: [{filter: stored_score, at_least: {similarity: 0.25}}, {filter: image_count}]"
    asked = recipe(tmp_path, f"source: {{kind: img2dataset_shards, path: {dump}}}\n{steps}\n")
    run = Run(asked, Layout(str(tmp_path / "out")), cluster)
    build(run)
    found = samples(tmp_path / "out")
    assert [sample.document.text for sample in found] == [f"caption {n}" for n in range(3, 8)]
    image = found[0].document.images[0]
    assert (image.scores["dump_similarity"], found[0].files[image.file]) == (0.3, members(3)[0][1])
    loose = recipe(tmp_path, f"source: {{kind: img2dataset_shards, path: {dump}}}\n{steps.replace('.25', '.0')}\n")
    again = Run(loose, Layout(str(tmp_path / "out")), cluster)
    build(again)
    assert [len(report.results) for report in again.reports if report.name in ("extract", "measure")] == [0, 0]
    assert len(samples(tmp_path / "out")) == 8


def test_a_threshold_on_a_column_that_the_dump_lacks_stops_and_names_those_it_has(cluster, tmp_path):
    write_tar(tmp_path / "0.tar", members(0))
    steps = "steps: [{filter: stored_score, at_least: {similarty: 0.25}}]"
    asked = recipe(tmp_path, f"source: {{kind: img2dataset_shards, path: {tmp_path}}}\n{steps}\n")
    with pytest.raises(ConfigError, match=r"'dump_similarty'.*Did you mean 'dump_similarity'\?"):
        build(Run(asked, Layout(str(tmp_path / "out")), cluster))


def test_pairs_of_laion_are_fetched_and_no_part_of_a_file_changes_a_byte(cluster, tmp_path):
    pages = ("ok", "absent", "tag/noai", "hops/1", "ok?2")
    rows = [laion(n, URL=f"http://{HOST}/{page}", similarity=0.3) for n, page in enumerate(pages)]
    rows.append(laion(9, URL=f"http://{HOST}/ok?3", similarity=0.2))
    (tmp_path / "dump").mkdir()
    write_parquet(tmp_path / "dump" / "part-0.parquet", rows)
    text = (
        f"source: {{kind: image_captions, path: {tmp_path}/dump, preset: laion_2b_en}}\n"
        f"fetch: {{allow_private_hosts: [{HOST}]}}\n"
        "steps: [{filter: stored_score, at_least: {similarity: 0.28}}, {filter: image_count}]\n"
    )
    asked = recipe(tmp_path, text)
    cut = replace(asked, source=replace(asked.source, bytes_per_item=500))
    assert len(cut.source.work_items()) > 1
    with HostileWeb() as web:
        for out, one in (("whole", asked), ("cut", cut)):
            build(Run(one, Layout(str(tmp_path / out)), cluster, {HOST: web.address}))
        assert not any(path.startswith("/ok?3") for path in web.paths)  # its score says no before the fetch
    assert [sample.document.text for sample in samples(tmp_path / "whole")] == ["caption 0", "caption 3", "caption 4"]
    tars = [(tmp_path / out / "shards" / "00000.tar").read_bytes() for out in ("whole", "cut")]
    assert tars[0] == tars[1]
