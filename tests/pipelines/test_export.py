"""Export: the kept documents of a build come out as the rows that they were."""

from __future__ import annotations

import json

from pipelines.cli import main
from tests.pipelines.sources.made_conversations import GOOD, SPOILT, recipe_text, write_set


def test_kept_rows_come_out_equal_and_in_order(tmp_path, cluster, capsys):
    from pipelines.build import build
    from pipelines.layout import Layout
    from pipelines.recipe import load_recipe
    from pipelines.run import Run

    (tmp_path / "recipe.yaml").write_text(recipe_text(write_set(tmp_path), fix=False))
    build(Run(load_recipe(str(tmp_path / "recipe.yaml")), Layout(str(tmp_path / "out")), cluster))
    assert main(["export", str(tmp_path / "out"), "--out", str(tmp_path / "kept.json")]) == 0
    kept = json.loads((tmp_path / "kept.json").read_text())
    lost = {"broken", "missing", "suffix", "no place", "two places", "climbs", "links", 5}
    assert kept == [row for row in [*GOOD, *SPOILT] if row["id"] not in lost]
    assert f"{len(kept)} rows" in capsys.readouterr().out


def test_a_folder_without_decisions_is_one_clear_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "x.json")]) == 2
    said = capsys.readouterr().err
    assert said == f"infimm export: {tmp_path}: no decisions there; run 'infimm decide RECIPE --out {tmp_path}'\n"
    assert not (tmp_path / "x.json").exists()
