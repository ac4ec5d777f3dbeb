"""The build recipe: every mistake is found before any work and said in one line."""

from __future__ import annotations

import pytest
import yaml

from infimm_data.errors import ConfigError
from pipelines.recipe import load_recipe

GOOD = """
source: {kind: web_archive, path: dumps/}
fetch: {timeout_s: 3}
steps:
  - {filter: text_length, min_words: 50}
  - {filter: image_size, min_side: 150, max_aspect: 2.0}
  - {filter: language, keep: [en]}
output: {documents_per_shard: 10}
"""


def write(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return str(path)


def problem(tmp_path, text):
    """Return what is said of a recipe, without the path before it."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    said = str(caught.value)
    assert said.startswith(path)
    assert "\n" not in said
    return said.removeprefix(path)


def test_a_recipe_is_read_with_its_steps_in_order(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert [step.name for step in recipe.steps] == ["text_length", "image_size", "language"]
    assert recipe.steps[2].settings()["keep"] == ("en",)
    assert (recipe.fetch.timeout_s, recipe.fetch.per_host) == (3.0, 4)
    assert recipe.output.documents_per_shard == 10


def test_the_resolved_recipe_is_a_recipe_again(tmp_path):
    from pipelines.recipe import plain

    recipe = load_recipe(write(tmp_path, GOOD))
    again = load_recipe(write(tmp_path, yaml.safe_dump(plain(recipe.resolved()), sort_keys=False)))
    assert again == recipe


@pytest.mark.parametrize(
    ("fetch", "said"),
    [
        ("{resize: {size: 0}}", "fetch.resize.size"),
        ("{resize: {mode: stretch}}", "fetch.resize.mode"),
        ("{resize: {sise: 256}}", "sise"),
        ("{attempts: 0}", "fetch.attempts"),
        ("{check: none}", "fetch.check"),
    ],
)
def test_a_wrong_setting_of_the_fetch_is_named(tmp_path, fetch, said):
    assert said in problem(tmp_path, GOOD.replace("{timeout_s: 3}", fetch))


def test_pictures_cannot_be_compared_where_only_their_headers_are_read(tmp_path):
    compares = GOOD.replace("  - {filter: language, keep: [en]}", "  - {filter: image_duplicate}")
    said = problem(tmp_path, compares.replace("{timeout_s: 3}", "{check: header}"))
    assert said.startswith(", step 3: 'image_duplicate' compares pictures")
    assert "check: pixels" in said
    load_recipe(write(tmp_path, compares.replace("{timeout_s: 3}", "{check: header, resize: {size: 64}}")))


def test_a_recipe_without_steps_keeps_everything(tmp_path):
    assert load_recipe(write(tmp_path, "source: {kind: web_archive, path: x}")).steps == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "source:",
            "sorce:",
            ": unknown key 'sorce'. Did you mean 'source'? It takes: source, steps, fetch, dedup, output.",
        ),
        ("source: {kind: web_archive, path: dumps/}", "", ": the key 'source' is missing; add it"),
        ("web_archive", "web_archiv", ", source: unknown kind 'web_archiv'. Did you mean 'web_archive'?"),
        ("path: dumps/", "pth: dumps/", ", source: unknown key 'pth' for web_archive. Did you mean 'path'?"),
        ("{kind: web_archive, path: dumps/}", "dumps/", ": 'source' is 'dumps/': "),
        ("timeout_s", "timeout", ": unknown key 'fetch.timeout'. Did you mean 'timeout_s'?"),
        ("timeout_s: 3", "timeout_s: -3", ": 'fetch.timeout_s' is -3: Input should be greater than 0"),
        ("timeout_s: 3", "timeout_s: 3 s", ": 'fetch.timeout_s' is '3 s': Input should be a valid number"),
        (
            "min_side:",
            "min_sid:",
            ", step 2: unknown key 'min_sid' for image_size. Did you mean 'min_side'? It takes: ",
        ),
        ("image_size", "image_sise", ", step 2: unknown filter 'image_sise'. Did you mean 'image_size'? There are: "),
        ("image_size, min_side: 150, max_aspect: 2.0", "text_length", ", step 2: 'text_length' stands there twice"),
        (
            "min_side: 150",
            "min_side: big",
            ", step 2: image_size: 'min_side' is 'big': Input should be a valid integer",
        ),
        ("min_side: 150", "min_side: 30_000", ", step 2: "),
        ("{filter: text_length, min_words: 50}", "text_length", ", step 1: expected a mapping with the key 'filter'"),
        (
            "{filter: text_length, min_words: 50}",
            "{min_words: 50}",
            ", step 1: expected a mapping with the key 'filter'",
        ),
        ("documents_per_shard: 10", "documents_per_shard: 0", ": 'output.documents_per_shard' is 0: "),
        ("steps:", "steps: 3\nx:", ": "),
        ("output:", "dedup: {memory: 2 gigs}\noutput:", ": dedup.memory: '2 gigs' is no size; write bytes as a number"),
        ("output:", "dedup: {memory: 5}\noutput:", ": dedup.memory: 5 is below 1MB"),
        (
            "output:",
            "dedup: {rank: [num_word]}\noutput:",
            ": dedup.rank: no step measures 'num_word'. Did you mean 'num_words'?",
        ),
    ],
)
def test_a_mistake_is_said_with_its_place_and_the_nearest_right_word(tmp_path, old, new, said):
    assert old in GOOD
    if "30_000" in new:
        new += ", max_side: 20000"
    assert problem(tmp_path, GOOD.replace(old, new, 1)).startswith(said)


def test_semantic_duplicates_need_a_step_that_stores_vectors(tmp_path):
    steps = "- {{filter: clip_score, embeddings: {}}}\n- {{filter: semantic_duplicate}}\n"
    path = tmp_path / "recipe.yaml"
    path.write_text("source: {kind: web_archive, path: x}\nsteps:\n" + steps.format("image"))
    assert [step.name for step in load_recipe(str(path)).steps] == ["clip_score", "semantic_duplicate"]
    path.write_text("source: {kind: web_archive, path: x}\nsteps:\n" + steps.format("none"))
    with pytest.raises(
        ConfigError, match="step 2: 'semantic_duplicate' reads vectors of 'clip_score', but no such step"
    ):
        load_recipe(str(path))
