"""Edits come before every measure, are counted, and are done again only where they or their input changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from infimm_data.document import TextNode
from infimm_data.errors import ConfigError
from infimm_data.rules import Level
from infimm_data.shards import read_index, read_manifest, read_sample
from infimm_data.tables import read_documents
from pipelines.build import build
from pipelines.layout import Layout
from pipelines.recipe import Step, load_recipe
from pipelines.run import Run
from tests.pipelines.made_source import STEPS, WEB, key_of, make_recipe


@dataclass(frozen=True, kw_only=True)
class Shorten:
    """Keeps the first words of every text, and counts the texts that it cut."""

    level: ClassVar[Level] = "document"
    words: int = 20

    def edit(self, document):
        cut = 0
        nodes = []
        for node in document.nodes:
            if isinstance(node, TextNode) and len(node.text.split()) > self.words:
                node = replace(node, text=" ".join(node.text.split()[: self.words]))
                cut += 1
            nodes.append(node)
        return replace(document, nodes=tuple(nodes)), {"cut": cut} if cut else {}

    def rules(self):
        return ()


@pytest.fixture
def go(cluster, web, dump, tmp_path):
    def run_build(*edits):
        steps = (*(Step("shorten", edit) for edit in edits), *STEPS)
        run = Run(make_recipe(dump, steps), Layout(str(tmp_path / "out")), cluster, {WEB: web.address})
        build(run)
        return run

    return run_build


def worked(run):
    return {report.name: len(report.results) for report in run.reports if report.results}


def test_measures_and_shards_are_of_the_edited_text(go):
    layout = go(Shorten(words=15)).layout
    funnel = json.loads(Path(layout.report("funnel.json")).read_text())
    assert funnel["dump"]["edited"]["shorten"]["cut"] > 0
    for shard in read_manifest(layout.shards):
        for place in read_index(layout.shards, shard):
            document = read_sample(layout.shards, place).document
            assert document.measures["num_words"] <= 15 + 4, "the closing line of the page is a text of its own"


def test_what_was_extracted_stays_and_another_edit_extracts_nothing_again(go):
    layout = go(Shorten(words=15)).layout
    whole = {document.id: document.text for document in read_documents(layout.extracted(key_of("0.json")))}
    did = worked(go(Shorten(words=12)))
    assert did["edit"] == 3
    assert "extract" not in did
    assert {document.id: document.text for document in read_documents(layout.extracted(key_of("0.json")))} == whole
    assert go(Shorten(words=12)).reports[1].results == []


def test_a_recipe_without_edits_has_no_such_pass(go):
    run = go()
    assert "edit" not in [report.name for report in run.reports]
    assert not Path(run.layout.out, "extracted").exists()


def test_an_edit_after_a_measure_is_a_config_error(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("source: {kind: web_archive, path: x}\nsteps:\n- {filter: text_length}\n- {filter: c4_lines}\n")
    with pytest.raises(ConfigError, match=r"step 2: 'c4_lines' changes the text that other"):
        load_recipe(str(recipe))
