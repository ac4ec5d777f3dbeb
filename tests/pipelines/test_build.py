"""The road from a dump to shards: what is finished is not done again, and nothing changes its bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from filters.image_size import ImageSize
from filters.quality_model import QualityModel
from filters.text_length import TextLength
from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import alone_in
from infimm_data.rules import AtLeast
from infimm_data.shards import read_index, read_manifest, read_sample
from infimm_data.tables import read_table
from pipelines.build import build, warn_of_greedy_steps
from pipelines.fetch_settings import ResizeSettings
from pipelines.layout import Layout
from pipelines.passes.decide import decide
from pipelines.recipe import DedupSettings, Step
from pipelines.run import Run
from tests.pipelines.made_facts import make_facts, step
from tests.pipelines.made_source import (
    PAUSE,
    STEPS,
    WEB,
    Brightness,
    MadeSource,
    draw,
    key_of,
    make_recipe,
    with_step,
)
from tests.web_server import PNG

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = "these are some words and there are enough of them for a page"


@pytest.fixture
def go(cluster, web, dump, tmp_path):
    """Return a function that builds into one folder and returns the run."""

    def run_build(steps=STEPS, source=dump, out="out", until="pack", kind=MadeSource, **settings):
        recipe = replace(make_recipe(source, steps, **settings), source=kind(path=source))
        run = Run(recipe, Layout(str(tmp_path / out)), cluster, {WEB: web.address})
        build(run, until)
        return run

    return run_build


@pytest.fixture
def copied(first, tmp_path):
    """A copy of the finished build under the name that `go` builds into."""
    shutil.copytree(first, tmp_path / "out")
    return tmp_path / "out"


def samples(out):
    folder = f"{out}/shards"
    return [read_sample(folder, place) for shard in read_manifest(folder) for place in read_index(folder, shard)]


def digests(out):
    return [(shard.name, shard.sha256) for shard in read_manifest(f"{out}/shards")]


def worked(run):
    """Return how many work items each pass of a run did."""
    return {report.name: len(report.results) for report in run.reports if report.results}


def files(out, *ignored):
    """Return inode and time of every file, the log of the last run aside."""
    found = {}
    for path in sorted(Path(out).rglob("*")):
        name = str(path.relative_to(out))
        if path.is_file() and name != "report/passes.json" and not name.startswith(ignored):
            found[name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def funnel(out):
    return json.loads((Path(out) / "report" / "funnel.json").read_text())


def test_every_step_of_the_made_dump_drops_something(first):
    reasons = {line["reason"]: line["dropped"] for line in funnel(first)["steps"] if line["dropped"]}
    assert reasons.pop("image_dark") > 0
    assert reasons.pop("too_few_images") > 0
    assert reasons == {
        "too_few_words": 3,
        "near_duplicate_text": 2,
        "image_url_word": 3,
        "http_404": 3,
        "image_too_small": 12,
    }


def test_the_funnel_adds_up(first):
    found = funnel(first)
    assert found["dump"]["skipped"] == {"no_content": 3}
    assert found["documents"]["in"] == found["dump"]["documents"] == 24
    for level in ("document", "image"):
        dropped = sum(line["dropped"] for line in found["steps"] if line["level"] == level)
        counts = found[f"{level}s"]
        assert counts["in"] == counts["kept"] + dropped + counts.get("lost_with_document", 0)
    assert found["shards"]["documents"] == found["documents"]["kept"] == len(samples(first))
    assert found["shards"]["images"] == found["images"]["kept"]


def test_a_sample_holds_its_text_in_order_its_images_and_what_was_measured(first):
    sample = next(one for one in samples(first) if one.document.origin.url == "https://site0.example/7")
    first_text, *images, last_text = sample.document.nodes
    assert first_text.text.endswith("0/7")
    assert last_text.text == "end of 0/7"
    for image in images:
        assert sample.files[image.file] == draw(image.url)
        assert (image.width, image.height) == (31, 31)
        assert image.scores["brightness"] >= 0.4
    assert sample.document.measures["num_words"] > 40


def test_an_image_over_http_arrives_and_its_dropped_neighbours_leave_the_text_joined(first):
    found = [one for one in samples(first) if one.document.origin.url.endswith("/4")]
    assert [list(one.files.values()) for one in found] in ([[PNG]] * len(found), [])
    for one in samples(first):
        kinds = [type(node).__name__ for node in one.document.nodes]
        assert ("TextNode", "TextNode") not in itertools.pairwise(kinds)


def test_no_unfinished_file_is_left(first):
    assert list(first.rglob(".part-*")) == []


def test_a_second_run_does_nothing(go, copied):
    before = files(copied)
    run = go()
    assert worked(run) == {}
    assert files(copied) == before
    assert not run.failed


def test_a_changed_score_threshold_only_decides_and_packs_again(go, copied):
    before = files(copied, "decisions", "shards", "report", "recipe.yaml")
    run = go(with_step("brightness", Brightness(min_brightness=None)))
    assert set(worked(run)) == {"pack"}
    assert files(copied, "decisions", "shards", "report", "recipe.yaml") == before
    assert funnel(copied)["images"]["kept"] > 12


def test_a_tightened_image_threshold_only_decides_and_packs_again(go, copied):
    run = go(with_step("image_size", ImageSize(min_side=30)))
    assert set(worked(run)) == {"pack"}
    assert {node.width for one in samples(copied) for node in one.document.images} == {30, 31}


def test_a_threshold_that_returns_brings_back_the_same_bytes(go, first, copied):
    go(with_step("brightness", Brightness(min_brightness=0.5)))
    assert digests(copied) != digests(first)
    go()
    assert digests(copied) == digests(first)


def test_a_loosened_text_threshold_fetches_and_scores_only_what_is_missing(go, web, copied):
    asked = len(web.paths)
    before = [
        len(read_table(str(copied / "scores" / "brightness" / f"{key_of(f'{n}.json')}.parquet"))) for n in range(3)
    ]
    held = {n: (copied / "images" / f"{key_of(f'{n}.json')}.tar").read_bytes() for n in range(3)}
    run = go(with_step("text_length", TextLength(min_words=1, max_words=None)))
    assert set(worked(run)) == {"fetch", "score brightness", "pack"}
    assert web.paths[asked:] == []
    for item, data in held.items():
        assert (copied / "images" / f"{key_of(f'{item}.json')}.tar").read_bytes().startswith(data)
        urls = read_table(str(copied / "images" / f"{key_of(f'{item}.json')}.parquet")).column("url").to_pylist()
        assert len(urls) == len(set(urls))
        assert urls[-1] == f"https://site{item}.example/1-0-25.png"
    scored = [
        len(read_table(str(copied / "scores" / "brightness" / f"{key_of(f'{n}.json')}.parquet"))) for n in range(3)
    ]
    (scoring,) = [report for report in run.reports if report.name == "score brightness"]
    assert [counts["in"] for counts in scoring.results] == [1, 1, 1]
    assert scored == [count + 1 for count in before]


def test_a_smaller_result_leaves_no_shard_of_the_larger_one_and_no_file_of_others(go, copied):
    (copied / "shards" / "notes.txt").write_text("mine")
    go(documents_per_shard=1000)
    left = sorted(path.name for path in (copied / "shards").iterdir())
    assert left == ["00000.index.parquet", "00000.tar", "manifest.json", "notes.txt"]


def test_a_result_without_documents_is_an_empty_set_of_shards(go, copied):
    go(with_step("text_length", TextLength(min_words=10_000, max_words=None)))
    assert read_manifest(f"{copied}/shards") == []
    assert funnel(copied)["documents"]["kept"] == 0


def test_a_dump_without_documents_is_an_empty_set_of_shards(go, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a", "b"):
        (tmp_path / "empty" / f"{name}.json").write_text("[]")
    run = go(source=str(tmp_path / "empty"))
    assert not run.failed
    assert read_manifest(str(tmp_path / "out" / "shards")) == []
    assert funnel(tmp_path / "out")["documents"] == {"in": 0, "kept": 0}


def test_a_dump_without_images_is_built(go, tmp_path):
    (tmp_path / "plain").mkdir()
    page = {"url": "https://a.example/", "nodes": [ENOUGH]}
    (tmp_path / "plain" / "a.json").write_text(json.dumps([page]))
    go([step for step in STEPS if step.name != "image_count"], source=str(tmp_path / "plain"))
    (sample,) = samples(tmp_path / "out")
    assert sample.document.text == ENOUGH


def test_a_repeated_record_is_counted_and_never_doubles_a_key(go, tmp_path):
    (tmp_path / "twice").mkdir()
    page = {"url": "https://a.example/", "nodes": [ENOUGH], "offset": 7}
    (tmp_path / "twice" / "a.json").write_text(json.dumps([page, page]))
    go([], source=str(tmp_path / "twice"))
    assert len(samples(tmp_path / "out")) == 1
    assert funnel(tmp_path / "out")["dump"]["skipped"] == {"repeated_record": 1}


def test_a_changed_work_item_is_done_again_and_its_neighbours_are_not(go, dump, tmp_path):
    source = Path(shutil.copytree(dump, tmp_path / "dump"))
    go(source=str(source))
    pages = json.loads((source / "1.json").read_text())
    pages[0]["nodes"] = [ENOUGH, {"image": "https://a.example/x-30.png"}]
    (source / "1.json").write_text(json.dumps(pages))
    run = go([step for step in STEPS if step.name != "brightness"], source=str(source))
    assert {name: count for name, count in worked(run).items() if name != "pack"} == {
        "extract": 1, "measure": 1, "dedup": 2, "fetch": 1,
    }  # fmt: skip
    assert "https://a.example/x-30.png" in [
        node.url for one in samples(tmp_path / "out") for node in one.document.images
    ]


def test_a_work_item_that_cannot_be_read_is_named_and_the_others_are_whole(go, dump, tmp_path, first):
    source = Path(shutil.copytree(dump, tmp_path / "dump"))
    (source / "3.json").write_text("[{")
    run = go(source=str(source))
    assert run.failed
    (report,) = [report for report in run.reports if report.failures]
    assert (report.name, report.failures[0].name) == ("extract", "3.json")
    assert report.failures[0].problem.startswith("3.json: not JSON (")
    assert digests(tmp_path / "out") == digests(first)
    stored = json.loads((tmp_path / "out" / "report" / "passes.json").read_text())
    assert "SourceError" in stored[0]["failures"][0]["trace"]


def test_images_that_failed_in_passing_are_asked_again_where_wanted(cluster, web, dump, first, tmp_path, caplog):
    def run_build(address, **settings):
        run = Run(make_recipe(dump), Layout(str(tmp_path / "out")), cluster, {WEB: address}, **settings)
        build(run)
        return run

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        run_build(nobody.getsockname())
    assert "images failed in ways that may pass (connection_error" in caplog.text
    assert "fetch" not in worked(run_build(web.address))
    assert worked(run_build(web.address, retry_failed=True))["fetch"] == 3
    assert digests(tmp_path / "out") == digests(first)
    assert "fetch" not in worked(run_build(web.address, retry_failed=True))


@dataclass(frozen=True, kw_only=True)
class WithoutImagesOfOne(MadeSource):
    """The made source, whose second work item loses its images to an I/O error."""

    def images(self, item, urls):
        if item.index == 1:
            raise OSError("the disk is gone")
        yield from super().images(item, urls)


def test_a_work_item_whose_images_fail_is_named_and_the_others_go_on_to_shards(go, dump, copied):
    for lost in (copied / "images").glob("1_json-*"):
        lost.unlink()
    run = go(source=dump, kind=WithoutImagesOfOne)
    assert [
        (report.name, [failure.name for failure in report.failures]) for report in run.reports if report.failures
    ] == [("fetch", ["1.json"])]
    dumps = {one.document.origin.dump for one in samples(copied)}
    assert dumps == {"0.json", "2.json"}
    assert sorted(path.name for path in (copied / "decisions" / "documents").iterdir()) == [
        f"{key_of('0.json')}.parquet",
        f"{key_of('2.json')}.parquet",
    ]


def test_a_build_may_store_its_images_in_training_size(cluster, web, dump, first, tmp_path):
    fetch = make_recipe(dump).fetch.model_copy(update={"resize": ResizeSettings(size=16, mode="center_crop")})
    for out in ("a", "b"):
        run = Run(replace(make_recipe(dump), fetch=fetch), Layout(str(tmp_path / out)), cluster, {WEB: web.address})
        build(run)
    assert digests(tmp_path / "a") == digests(tmp_path / "b") != digests(first)
    assert [sample.document.id for sample in samples(tmp_path / "a")] == [s.document.id for s in samples(first)]
    for sample in samples(tmp_path / "a"):
        for node in sample.document.images:
            data = sample.files[node.file]
            assert (node.width, node.height, data[:2]) == (16, 16, b"\xff\xd8")
            assert hashlib.sha256(data).hexdigest() == node.sha256 != node.scores["original_sha256"]
            assert (node.scores["original_format"], node.scores["original_width"] >= 24) == ("png", True)


def test_a_dump_of_which_nothing_can_be_read_stops_with_one_line_and_a_report(go, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.json").write_text("{")
    with pytest.raises(InfiMMError, match=r"^made\.yaml: every work item failed, the last a\.json: a\.json: not JSON"):
        go(source=str(tmp_path / "bad"))
    assert (tmp_path / "out" / "report" / "passes.json").exists()


def test_a_dump_without_files_stops_with_one_line(go, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(InfiMMError, match=r"^made\.yaml: the source is empty$"):
        go(source=str(tmp_path / "none"))


def test_what_a_later_pass_needs_is_asked_for_before_the_first(go, tmp_path):
    with pytest.raises(ConfigError, match=r"step 'quality_model': none\.ftz: no such file"):
        go((Step("quality_model", QualityModel(model="none.ftz")),))
    run = go(STEPS[:1], until="extract")
    recipe = replace(make_recipe(run.recipe.source.path), dedup=DedupSettings(against=str(tmp_path / "old")))
    with pytest.raises(ConfigError, match=r"dedup\.against: .*old: no index of 'exact_duplicate_text' there"):
        build(Run(recipe, Layout(str(tmp_path / "new")), run.cluster), "extract")
    assert not (tmp_path / "new").exists()


def test_an_out_folder_that_cannot_be_written_is_a_config_error(go, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot be written .*choose another folder"):
        go()


def test_a_relative_out_folder_means_the_one_of_the_caller(cluster, web, dump, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers were started elsewhere
    run = Run(make_recipe(dump), Layout("here"), cluster, {WEB: web.address})
    build(run, "extract")
    assert not run.failed
    assert len(list((tmp_path / "here" / "documents").iterdir())) == 3


def test_a_second_run_in_the_same_folder_waits_for_nobody_and_says_so(go, copied):
    with alone_in(str(copied)), pytest.raises(ConfigError, match="another run is writing there; wait for it"):
        go()
    assert not go().failed


def test_the_time_of_a_pass_outlives_a_run_that_had_no_work(go, tmp_path):
    go(until="extract")
    (first,) = json.loads((tmp_path / "out" / "report" / "passes.json").read_text())
    go(until="extract")
    (again,) = json.loads((tmp_path / "out" / "report" / "passes.json").read_text())
    assert (again["work_items"], again["last_work"]) == (0, {"work_items": 3, "seconds": first["seconds"]})


def test_a_build_that_keeps_nothing_names_what_took_most(go, caplog):
    go(with_step("text_length", TextLength(min_words=100_000, max_words=None)), until="decide")
    assert "no document is kept: most of 24, 24, fell to step 'text_length' as too_few_words" in caplog.text


def test_each_pass_can_be_the_last(go, tmp_path):
    for until, last in (("extract", "documents"), ("measure", "scores"), ("fetch", "images"), ("decide", "decisions")):
        go(until=until)
        assert (tmp_path / "out" / last).exists()
        assert not (tmp_path / "out" / "shards").exists()
    assert funnel(tmp_path / "out")["shards"] is None


def test_a_step_that_drops_nearly_everything_is_said(caplog):
    facts = make_facts({"id": [str(n) for n in range(1000)], "words": [0.0] * 995 + [9.0] * 5}, {}, [])
    for bound, warned in ((9, True), (0, False)):
        caplog.clear()
        warn_of_greedy_steps(decide(facts, [step("words", "document", AtLeast("words", bound, "few"))]))
        assert ("step 'words' drops 995 of 1000 documents as few (words, threshold 9)" in caplog.text) is warned


def start_driver(source, out, workers, web, pause_s=0.0):
    """Build in a process of its own, with a Ray of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), PAUSE: str(pause_s)}
    command = [sys.executable, "-m", "tests.pipelines.made_source", source, str(out), str(workers), str(web.address[1])]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def test_one_worker_writes_the_same_bytes_as_two(first, web, dump, tmp_path):
    with start_driver(dump, tmp_path / "one", 1, web) as driver:
        errors = driver.communicate()[1]
    assert driver.returncode == 0, errors
    assert digests(tmp_path / "one") == digests(first)


def test_a_run_killed_in_the_middle_of_three_workers_goes_on_to_the_same_bytes(go, first, web, dump, tmp_path):
    seen = tmp_path / "out" / "images" / f"{key_of('1.json')}.parquet"
    with start_driver(dump, tmp_path / "out", 3, web, pause_s=0.03) as driver:
        ends = time.monotonic() + 60
        while not seen.exists() and time.monotonic() < ends:
            time.sleep(0.01)
        os.kill(driver.pid, signal.SIGKILL)
        driver.stderr.close()
    assert seen.exists()
    assert not (tmp_path / "out" / "shards" / "manifest.json").exists()
    go()
    assert digests(tmp_path / "out") == digests(first)
    assert list((tmp_path / "out").rglob(".part-*")) == []


def test_a_build_against_an_earlier_one_takes_only_what_that_does_not_keep(go, dump, tmp_path):
    source = Path(shutil.copytree(dump, tmp_path / "dump"))
    texts = STEPS[:4]  # no more of the pixels than their fetch
    run = go(texts, out="old", until="decide")
    pages = json.loads((source / "1.json").read_text())
    pages[0]["nodes"] = [f"{ENOUGH}, and more words that no earlier page has"]
    (source / "1.json").write_text(json.dumps(pages))
    recipe = replace(
        run.recipe, source=MadeSource(path=str(source)), dedup=DedupSettings(against=str(tmp_path / "old"))
    )
    again = Run(recipe, Layout(str(tmp_path / "new")), run.cluster, run.connect_to)
    build(again, "decide")
    kept, earlier = funnel(tmp_path / "new")["documents"]["kept"], funnel(tmp_path / "old")["documents"]["kept"]
    assert kept == 1
    dropped = {line["reason"]: line["dropped"] for line in funnel(tmp_path / "new")["steps"]}
    assert dropped["exact_duplicate_text_of_earlier"] == earlier - 1
    assert dropped["near_duplicate_text_of_earlier"] == 2
