"""Export: the kept documents of a build come out as the rows that they were."""

from __future__ import annotations

import json

from infimm_data.document import Document, TextNode
from pipelines.build import build
from pipelines.cli import main
from pipelines.export import export_rows
from pipelines.layout import Layout
from pipelines.recipe import load_recipe
from pipelines.run import Run
from tests.pipelines.sources.made_conversations import GOOD, SPOILT, recipe_text, write_set


def test_kept_rows_come_out_equal_and_in_order(tmp_path, cluster, capsys):
    (tmp_path / "recipe.yaml").write_text(recipe_text(write_set(tmp_path), fix=False))
    build(Run(load_recipe(str(tmp_path / "recipe.yaml")), Layout(str(tmp_path / "out")), cluster))
    assert main(["export", str(tmp_path / "out"), "--out", str(tmp_path / "kept.json")]) == 0
    kept = json.loads((tmp_path / "kept.json").read_text())
    lost = {"broken", "missing", "suffix", "no place", "two places", "climbs", "links", 5}
    assert kept == [row for row in [*GOOD, *SPOILT] if row["id"] not in lost]
    assert f"{len(kept)} rows, {len(kept)} of them as they were read" in capsys.readouterr().out


def test_a_folder_without_decisions_is_one_clear_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "x.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"infimm export: {tmp_path}: nothing was decided there yet; run 'infimm build")
    assert said.count("\n") == 1
    assert not (tmp_path / "x.json").exists()


def test_a_document_whose_nodes_an_edit_changed_is_a_new_row(monkeypatch, tmp_path):
    nodes = (TextNode(text="Q", role="user", loss=False), TextNode(text="A", role="assistant"))
    edited = Document(id="d", nodes=nodes, record='{"row":{"id":1},"texts":[[["x"],3]],"placeholder":"<image>"}')
    monkeypatch.setattr("pipelines.export.kept_documents", lambda layout: iter([edited]))
    assert export_rows(Layout(str(tmp_path)), str(tmp_path / "x.json")) == (1, 0)
    assert json.loads((tmp_path / "x.json").read_text()) == [
        {"id": "d", "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}
    ]
