"""What the explorer answers: documents as they are, thresholds as what-if counts them."""

from __future__ import annotations

import io
import json

import pytest
import yaml
from PIL import Image

from filters.c4_lines import C4Lines
from filters.image_heads import ImageHeads
from filters.stored_score import StoredScore
from infimm_data.shards import read_index, read_manifest
from pipelines.explorer.api import MOST_CHANGES
from pipelines.explorer.browse import differences
from pipelines.explorer.thresholds import sliders_of
from pipelines.layout import Layout
from pipelines.recipe import Step, load_recipe
from pipelines.what_if import what_if
from tests.pipelines.made_source import STEPS


def ask(api, path, status=200, **query):
    query = {name: [value] if isinstance(value, str) else value for name, value in query.items()}
    answer = api.answer(f"api/{path}", query)
    assert answer.status == status, answer.data
    return json.loads(answer.data)


def kept_id(first):
    folder = f"{first}/shards"
    return next(place.key for shard in read_manifest(folder) for place in read_index(folder, shard) if place.num_images)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["brightness.min_brightness=0.5"],
        ["text_length.min_words=1000"],
        ["text_length.min_words=0", "image_size.min_side=0"],
        ["image_count.min_images=2"],
        ["image_duplicate.max_documents=1"],
    ],
)
def test_the_sliders_count_what_the_command_counts(api, first, changes):
    found = ask(api, "recount", change=changes)
    expected = what_if(Layout(str(first)), changes or ["text_length.min_words=10"])
    for level in ("documents", "images"):
        counts = [int(getattr(side, level).kept.sum()) for side in (expected.now, expected.then)]
        assert found["kept"][level] == counts
    dropped = {(line["step"], line["reason"]): line["dropped"][1] for line in found["funnel"] if line["dropped"][1]}
    assert dropped == {(line.step, line.reason): line.dropped for line in expected.then.funnel if line.dropped}


def test_histograms_hold_every_measured_row(api):
    found = ask(api, "recount", change=["text_length.min_words=30"])
    drawn = found["histograms"]["num_words"]
    assert sum(drawn["all"]) == 24
    assert sum(drawn["now"]) == found["kept"]["documents"][0]
    assert sum(drawn["then"]) == found["kept"]["documents"][1]
    assert len(drawn["edges"]) == len(drawn["all"]) + 1


def test_words_are_counted_as_bars_are(api):
    found = ask(api, "recount", change=["image_url.keep_schemes=[http, data]"])
    schemes = found["words"]["image_url_scheme"]
    assert schemes["words"] == ["https", "http"], "the most frequent first"
    assert sum(schemes["now"]) == found["kept"]["images"][0] > 0
    assert schemes["then"] == [0, found["kept"]["images"][1]]
    assert all(kept <= whole for kept, whole in zip(schemes["now"], schemes["all"], strict=True))


def test_examples_are_documents_that_change_sides(api):
    found = ask(api, "recount", change=["text_length.min_words=1000"])
    lost = found["examples"]["documents"]["lost"]
    assert lost["count"] == found["kept"]["documents"][0] > 0
    cards = ask(api, "cards", row=[str(row) for row in lost["rows"]])["rows"]
    assert len(cards) == len(lost["rows"]) > 0
    assert all(card["is_kept"] for card in cards)
    assert found["examples"]["documents"]["won"] == {"count": 0, "rows": []}


def test_a_wrong_change_is_said(api):
    assert "Did you mean 'brightness'?" in ask(api, "recount", 400, change=["brihgtness=1"])["problem"]


def test_every_bound_of_the_recipe_is_a_slider_with_its_measure():
    sliders = {f"{one.step}.{one.key}": one for step in STEPS for one in sliders_of(step)}
    assert sliders["text_length.min_words"].measures == ("num_words",)
    assert sliders["text_length.max_words"].value is None
    assert sliders["text_length.max_words"].measures == ("num_words",), "off, and told what it would be compared with"
    assert sliders["image_count.max_images"].measures == ("images_kept",)
    assert sliders["image_url.keep_schemes"].measures == ("image_url_scheme",)
    assert "image_duplicate.distance" not in sliders, "it shapes what is measured"


def test_bounds_by_name_are_sliders_of_their_own_and_words_of_the_settings_none():
    step = Step("stored_score", StoredScore(at_least={"clip": 0.3}, one_of={"nsfw": ("unlikely",)}))
    found = {slider.key: (slider.value, slider.measures) for slider in sliders_of(step)}
    assert found == {
        "at_least.clip": (0.3, ("dump_clip",)),
        "one_of.nsfw": (("unlikely",), ("dump_nsfw",)),
        "keep_unknown": (False, ()),
    }  # fmt: skip
    heads = ImageHeads(heads={"nsfw": "nsfw.pth"}, keep_at_most={"nsfw": 0.1})
    assert [slider.measures for slider in sliders_of(Step("image_heads", heads))] == [("head_nsfw",)]


def test_an_edit_has_no_sliders():
    assert sliders_of(Step("c4_lines", C4Lines())) == []


def test_a_bound_takes_whole_numbers_where_its_filter_does():
    sliders = [slider for step in STEPS for slider in sliders_of(step)]
    whole = {slider.key: slider.is_whole for slider in sliders}
    assert (whole["min_words"], whole["max_aspect"], whole["min_brightness"]) == (True, False, False)


def test_a_list_after_the_last_document_is_empty(api):
    assert ask(api, "documents", start="9999") == {"rows": [], "next": None}


def test_more_changes_than_are_counted_are_refused(api):
    many = ["text_length.min_words=1"] * (MOST_CHANGES + 1)
    assert "expected at most" in ask(api, "recount", 400, change=many)["problem"]


def test_the_saved_recipe_builds_what_was_counted(api, tmp_path):
    answer = api.answer("api/recipe", {"change": ["brightness.min_brightness=0.5", "text_length.min_words=null"]})
    assert answer.file == "recipe.yaml"
    path = tmp_path / "recipe.yaml"
    path.write_bytes(answer.data)
    filters = {step.name: step.filter for step in load_recipe(str(path)).steps}
    assert filters["brightness"].min_brightness == 0.5
    assert filters["text_length"].min_words is None
    assert [entry["filter"] for entry in yaml.safe_load(answer.data)["steps"]] == [step.name for step in STEPS]


def test_documents_are_listed_to_the_last_and_no_twice(api):
    found = ask(api, "documents")
    assert found["next"] is None
    assert len({one["id"] for one in found["rows"]}) == 24


def test_pages_of_a_list_follow_each_other(api, monkeypatch):
    monkeypatch.setattr("pipelines.explorer.browse.PAGE", 5)
    ids, start = [], 0
    while start is not None:
        found = ask(api, "documents", start=str(start), state="kept")
        ids += [one["id"] for one in found["rows"]]
        start = found["next"]
    assert len(ids) == len(set(ids)) == ask(api, "recount")["kept"]["documents"][0]


@pytest.mark.parametrize("text", ["W1", "SITE1.example/6", "end of 1/6"])
def test_a_search_finds_texts_and_urls_in_any_case(api, text):
    rows = ask(api, "documents", text=text)["rows"]
    assert rows
    for one in rows:
        read = ask(api, f"document/{one['id']}")
        held = " ".join([read["url"], *(node.get("text", "") for node in read["nodes"])])
        assert text.lower() in held.lower()


def test_a_search_that_takes_long_goes_on_where_it_stopped(api, monkeypatch):
    monkeypatch.setattr("pipelines.explorer.browse.SEARCH_S", -1)
    ids, start, asked = [], 0, 0
    while start is not None:
        found = ask(api, "documents", text="site1", start=str(start))
        ids, start, asked = ids + [one["id"] for one in found["rows"]], found["next"], asked + 1
    assert asked == 3, "one for each work item"
    assert len(ids) == 8


def test_documents_are_listed_by_the_reason_of_their_drop(api):
    rows = ask(api, "documents", reason="too_few_words")["rows"]
    assert len(rows) == 3
    assert all("too_few_words" in one["verdict"] for one in rows)


def test_under_changed_thresholds_the_list_follows(api):
    assert ask(api, "documents", state="kept", change=["text_length.min_words=1000"])["rows"] == []


def test_a_document_is_read_with_scores_and_verdict_at_each_image(api, first):
    read = ask(api, f"document/{kept_id(first)}")
    assert read["is_kept"]
    assert "num_words" in read["measures"]
    pictures = [node for node in read["nodes"] if "row" in node and node["is_kept"]]
    assert all("brightness" in one["measures"] and one["is_there"] for one in pictures)
    drawn = api.answer(f"api/image/{pictures[0]['row']}", {"side": ["96"]})
    assert drawn.kind == "image/jpeg"
    assert max(Image.open(io.BytesIO(drawn.data)).size) <= 96


def test_twins_stand_beside_each_other_with_what_differs(api):
    twin = ask(api, "documents", reason="near_duplicate_text")["rows"][0]
    (measure,) = ask(api, f"document/{twin['id']}")["clusters"]
    found = ask(api, f"cluster/{twin['id']}", measure=measure)
    assert found["size"] == len(found["members"]) == 3
    assert [one["is_kept"] for one in found["members"]].count(True) == 1
    assert not any(differs for differs, _ in found["members"][0]["parts"])
    assert any(differs for differs, _ in found["members"][1]["parts"])


def test_differences_are_words():
    found = differences("a red ring\nhere", "a blue ring\nhere")
    assert found == [(False, "a "), (True, "blue "), (False, "ring\nhere")]
    assert differences("", "") == []


def test_a_document_is_shown_as_tokens_in_its_packed_row(api, first):
    key = kept_id(first)
    found = ask(api, f"tokens/{key}")
    row = found["rows"][0]
    own = row["documents"].index(key)
    assert len(row["tokens"]) == len(row["image"]) == len(row["document"]) == 512
    pairs = zip(row["image"], row["document"], strict=True)
    looking = {image for image, document in pairs if document == own and image >= 0}
    assert {row["images"][image]["id"] for image in looking} == {key}, "no token looks at another document's image"
    assert api.answer(f"api/packed/{key}/0", {}).kind == "image/jpeg"


@pytest.mark.parametrize(
    "path",
    [
        "document/0",
        "image/x",
        "image/999999",
        "image/-1",
        "tokens/0",
        "packed/0/0",
        "cluster/0",
        "nothing",
        "../api.py",
    ],
)
def test_what_is_not_there_is_said(api, path):
    assert ask(api, path, 404)["problem"]


def test_no_file_but_the_pages_own_is_served(api):
    assert api.answer("main.js", {}).status == 200
    for path in ("server.py", "../api.py", "static/main.js", "absent.js", "/etc/passwd"):
        assert api.answer(path, {}).status == 404
