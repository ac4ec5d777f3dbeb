"""The life of a page and of an image, as `infimm why` tells it."""

from __future__ import annotations

import pytest

from infimm_data.shards import read_sample
from pipelines.cli import main
from pipelines.layout import Layout
from pipelines.life import documents_of, skipped_of
from tests.pipelines.made_source import key_of


def life(out, what):
    (found,) = documents_of(Layout(str(out)), what)
    return found


def test_a_kept_page_is_followed_into_its_shard(first):
    found = life(first, "https://site1.example/6")
    assert found.decision["kept"]
    assert found.place is not None
    sample = read_sample(f"{first}/shards", found.place)
    assert sample.document.origin.url == "https://site1.example/6"
    assert found.measures["num_words"] == sample.document.measures["num_words"]


def test_a_dropped_page_has_step_reason_value_and_threshold(first):
    found = life(first, "https://site1.example/1")
    decision = found.decision
    assert (decision["step"], decision["reason"], decision["threshold"]) == ("text_length", "too_few_words", "10")
    assert float(decision["value"]) == found.measures["num_words"] < 10
    assert found.place is None


def test_the_images_of_a_page_have_their_own_verdicts_facts_and_scores(first):
    images = {image.decision["url"]: image for image in life(first, "https://site0.example/4").images}
    absent = images["http://pictures.example/absent"]
    assert (absent.decision["step"], absent.decision["reason"]) == ("fetch", "http_404")
    assert absent.fetched["status"] == "http_404"
    logo = images["https://a.example/logo.png"]
    assert (logo.decision["step"], logo.fetched) == ("image_url", None)
    small = images["http://pictures.example/ok"]
    assert (small.decision["reason"], small.decision["value"], small.fetched["short_side"]) == (
        "image_too_small",
        "8",
        8,
    )
    (kept, *_) = life(first, "https://site1.example/6").images
    assert kept.decision["kept"]
    assert kept.scores["brightness"] >= 0.4


def test_an_id_or_its_start_names_the_same_page_as_its_url(first):
    found = life(first, "https://site0.example/4")
    key = found.origin["id"]
    assert life(first, key) == found
    assert found in list(documents_of(Layout(str(first)), key[:8]))


def test_an_image_leads_to_every_page_that_shows_it(first):
    pages = [
        found.origin["url"] for found in documents_of(Layout(str(first)), "https://everywhere.example/same-40.png")
    ]
    assert pages == [f"https://site{number}.example/6" for number in range(3)]


def test_a_record_that_became_no_document_is_named(first):
    (found,) = skipped_of(Layout(str(first)), "https://site2.example/empty")
    assert (found.item, found.reason, found.offset) == (key_of("2.json"), "no_content", 8)


def test_the_command_tells_a_life(first, capsys):
    assert main(["why", str(first), "https://site1.example/1"]) == 0
    printed = capsys.readouterr().out
    assert "document: dropped by step 'text_length' as too_few_words: 9, threshold 10\n" in printed
    assert main(["why", str(first), "https://site2.example/empty"]) == 0
    assert f"no document: no_content; record at 8 of work item {key_of('2.json')}" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["https://nobody.example/", "ffffffffffff", "not an url"])
def test_what_is_not_there_is_one_line(what, first, capsys):
    assert main(["why", str(first), what]) == 2
    error = capsys.readouterr().err
    assert "has that name" in error
    assert error.count("\n") == 1
