"""What if a threshold were another: counted from stored measures, as a build would decide."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from filters.c4_lines import C4Lines
from filters.stored_score import StoredScore
from filters.table import FILTERS
from filters.text_length import TextLength
from filters.url_list import UrlList
from infimm_data.errors import ConfigError
from infimm_data.shards import read_manifest
from infimm_data.tables import read_table
from pipelines.build import build
from pipelines.cli import main
from pipelines.explorer.thresholds import Thresholds
from pipelines.layout import Layout
from pipelines.life import documents_of
from pipelines.passes.decisions import decided_items
from pipelines.purge import purge
from pipelines.recipe import DedupSettings, Step
from pipelines.run import Run
from pipelines.sources.table import SOURCES
from pipelines.stored import ImageGroups, stored_recipe, whole_facts
from pipelines.what_if import changed_steps, what_if
from tests.pipelines.made_source import STEPS, WEB, Brightness, MadeSource, make_recipe, with_step


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The made source and its filter have names in a recipe."""
    monkeypatch.setitem(SOURCES, "made", MadeSource)
    monkeypatch.setitem(FILTERS, "brightness", Brightness)


def kept(decisions):
    return int(decisions.documents.kept.sum()), int(decisions.images.kept.sum())


def test_without_a_change_it_counts_what_the_build_kept(first):
    recount = what_if(Layout(str(first)), ["text_length.min_words=10"])
    shards = read_manifest(f"{first}/shards")
    assert kept(recount.now) == (sum(s.num_documents for s in shards), sum(s.num_images for s in shards))
    assert recount.then.funnel == recount.now.funnel
    assert recount.num_unmeasured == 0


@pytest.mark.parametrize(
    ("change", "filter_"),
    [
        ("brightness=0.5", Brightness(min_brightness=0.5)),
        ("brightness.min_brightness=null", Brightness(min_brightness=None)),
        ("text_length.min_words=47", TextLength(min_words=47, max_words=None)),
    ],
)
def test_it_counts_what_a_build_with_the_changed_recipe_keeps(change, filter_, first, cluster, web, dump, tmp_path):
    steps = with_step(change.partition(".")[0].partition("=")[0], filter_)
    run = Run(make_recipe(dump, steps), Layout(str(tmp_path / "out")), cluster, {WEB: web.address})
    build(run)
    recount = what_if(Layout(str(first)), [change])
    built = read_manifest(str(tmp_path / "out" / "shards"))
    assert kept(recount.then) == (sum(s.num_documents for s in built), sum(s.num_images for s in built))
    assert kept(recount.then) != kept(recount.now)


def test_images_of_other_images_wanted_are_compared_again(first):
    """Fewer pages show the banner when the pages must have more words: its number of documents falls."""
    recount = what_if(Layout(str(first)), ["text_length.min_words=1000"])
    assert kept(recount.then) == (0, 0)


def test_a_rank_may_name_what_no_rule_asks(first, tmp_path):
    out = shutil.copytree(first, tmp_path / "out")
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    recipe["dedup"]["rank"] = ["-num_words"]
    for entry in recipe["steps"]:
        if entry["filter"] == "text_length":
            entry |= {"min_words": None, "max_words": None}
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert kept(what_if(Layout(str(out)), ["brightness=null"]).then) > (0, 0)


def test_a_bound_that_the_recipe_leaves_off_may_be_asked(first):
    """Its measure is stored, though no rule of the recipe reads it."""
    recount = what_if(Layout(str(first)), ["text_length.min_characters=100000"])
    assert kept(recount.now) > (0, 0)
    assert kept(recount.then) == (0, 0)


def test_what_was_never_measured_is_said(cluster, web, dump, tmp_path):
    strict = with_step("text_length", TextLength(min_words=47, max_words=None))
    build(Run(make_recipe(dump, strict), Layout(str(tmp_path / "out")), cluster, {WEB: web.address}))
    recount = what_if(Layout(str(tmp_path / "out")), ["text_length.min_words=10"])
    assert recount.num_unmeasured > 0
    assert kept(recount.then) == kept(recount.now)


def test_nothing_is_written(first):
    before = {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")}
    what_if(Layout(str(first)), ["brightness=0.9"])
    assert {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("brightness", "expected STEP.KEY=VALUE"),
        ("brightnes.min=1", "no key|unknown key 'min' for brightness"),
        ("brihgtness=1", "no such step in the build's recipe. Did you mean 'brightness'?"),
        ("image=1", "image_url and image_size and image_duplicate and image_count begin with it"),
        ("image_count=1", "has the bounds min_images, max_images; write STEP.KEY=VALUE"),
        ("exact_duplicate_text=1", "has no bound"),
        ("text_length.min_word=1", "Did you mean 'min_words'?"),
        ("text_length.min_words=many", "Input should be a valid integer|min_words"),
        ("image_duplicate.distance=3", "'distance' shapes what image_duplicate measures"),
        ("text_length.min_words={", "is no YAML value"),
    ],
)
def test_a_wrong_change_is_one_line(change, message, first):
    with pytest.raises(ConfigError) as caught:
        what_if(Layout(str(first)), [change])
    assert any(part in str(caught.value) for part in message.split("|"))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_build_is_one_line(tmp_path, capsys):
    assert main(["what-if", str(tmp_path), "brightness=1"]) == 2
    assert "no recipe.yaml there" in capsys.readouterr().err


def test_the_command_prints_what_changes(first, capsys):
    assert main(["what-if", str(first), "bright=0.99"]) == 0
    printed = capsys.readouterr().out
    assert "image_dark" in printed
    assert "too_few_words" not in printed, "a rule that drops as much as before is not shown"
    assert "images: " in printed


def test_steps_that_measure_nothing_new_keep_their_place():
    steps = changed_steps(STEPS, ["brightness=0.1"])
    assert [step.name for step in steps] == [step.name for step in STEPS]
    assert replace(steps[6], filter=STEPS[6].filter) == STEPS[6]


def test_a_bound_by_name_over_what_the_dump_measured_can_be_another():
    steps = (Step("stored_score", StoredScore(best={"clip": 0.3})),)
    (changed,) = changed_steps(steps, ["stored_score.best={clip: 0.2}"])
    assert changed.filter.best == {"clip": 0.2}


@pytest.mark.parametrize(
    ("change", "bounds"),
    [
        ("stored_score.at_least.clip=0.2", {"clip": 0.2, "punsafe": 0.1}),
        ("stored_score.at_least.clip=null", {"punsafe": 0.1}),
    ],
)
def test_one_of_several_bounds_by_name_is_changed_alone(change, bounds):
    steps = (Step("stored_score", StoredScore(at_least={"clip": 0.3, "punsafe": 0.1})),)
    (changed,) = changed_steps(steps, [change])
    assert changed.filter.at_least == bounds
    assert list(changed.filter.at_least) == list(bounds)


def test_a_bound_of_an_edit_is_refused_for_it_changes_what_was_measured():
    with pytest.raises(ConfigError, match="c4_lines edits the text that is measured"):
        changed_steps((Step("c4_lines", C4Lines()),), ["c4_lines.min_words=5"])


def decisions_of(layout):
    """Return the stored verdict of every document."""
    return [
        kept
        for item in decided_items(layout)
        for kept in read_table(layout.decisions("documents", item.key)).column("kept").to_pylist()
    ]


def test_after_a_takedown_it_counts_what_the_ledger_says_where_a_twin_would_have_won(first, cluster, tmp_path):
    layout = Layout(str(shutil.copytree(first, tmp_path / "out")))
    (life, *_) = (one for one in documents_of(layout, "https://site0.example/2") if one.decision["kept"])
    purge(layout, [life.images[0].decision["url"]], cluster, datetime(2026, 1, 1, tzinfo=UTC))
    recount = what_if(layout, ["text_length.min_words=10"])
    assert recount.now.documents.kept.tolist() == decisions_of(layout)
    assert recount.then.funnel == recount.now.funnel, "nothing was asked to change"
    recipe = stored_recipe(layout)
    found = Thresholds(layout, recipe, whole_facts(layout, recipe), ImageGroups()).recount([])
    assert found["kept"]["documents"] == [sum(decisions_of(layout))] * 2
    assert found["examples"]["documents"]["lost"]["count"] == 0


def test_copies_of_an_earlier_dataset_stay_out_of_every_count(first, cluster, web, dump, tmp_path):
    recipe = replace(make_recipe(dump), dedup=DedupSettings(against=str(first)))
    layout = Layout(str(tmp_path / "again"))
    build(Run(recipe, layout, cluster, {WEB: web.address}), "decide")
    recount = what_if(layout, ["text_length.min_words=0"])
    assert recount.now.documents.kept.tolist() == decisions_of(layout)
    assert next(line.dropped for line in recount.then.funnel if line.reason == "exact_duplicate_text_of_earlier") > 0


@pytest.fixture
def with_list(cluster, web, dump, tmp_path):
    """A finished build whose block list was moved away."""
    listed = tmp_path / "block.txt"
    listed.write_text("site2.example\n")
    steps = (Step("url_list", UrlList(block=(str(listed),))), *STEPS)
    layout = Layout(str(tmp_path / "out"))
    build(Run(make_recipe(dump, steps), layout, cluster, {WEB: web.address}))
    listed.unlink()
    return layout


def test_a_list_that_was_moved_is_needed_by_a_build_alone(with_list, tmp_path, capsys):
    out, page = with_list.out, "https://site1.example/6"
    assert main(["why", out, page]) == 0
    assert main(["what-if", out, "bright=0.99"]) == 0
    assert main(["what-if", out, "url_list.max_url_words=1"]) == 0
    (tmp_path / "urls.txt").write_text(f"{page}\n")
    assert main(["purge", out, "--urls", str(tmp_path / "urls.txt")]) == 0
    printed = capsys.readouterr().out
    assert "1 documents left the shards" in printed
    assert main(["build", with_list.recipe, "--out", out]) == 2
    assert "step 1: url_list: " in (said := capsys.readouterr().err)
    assert "block.txt: no such file; expected a list of domains" in said
