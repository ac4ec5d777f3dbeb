"""Hygiene: every problem of every row is named with what mends it, and nothing is changed."""

from __future__ import annotations

import json

from pipelines.cli import main
from tests.pipelines.sources.made_conversations import SPOILT, recipe_text, write_set


def inspected(tmp_path, capsys, *flags, rows=None, fix=False):
    path = write_set(tmp_path, rows)
    (tmp_path / "recipe.yaml").write_text(recipe_text(path, fix=fix))
    before = (tmp_path / "llava.json").read_bytes()
    status = main(["hygiene", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "found.jsonl"), *flags])
    assert (tmp_path / "llava.json").read_bytes() == before
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    return status, lines, capsys.readouterr().out


def test_each_problem_is_found_in_its_row_with_its_fix(tmp_path, capsys):
    status, lines, out = inspected(tmp_path, capsys)
    assert status == 0
    assert sorted((line["id"], line["problem"]) for line in lines) == sorted([
        ("gif", "other_format"), ("broken", "image_truncated"), ("missing", "missing_file"), ("suffix", "image_suffix"),
        ("first", "turn_order"), ("no place", "no_placeholder"), ("two places", "placeholder_mismatch"),
        ("empty", "empty_answer"), ("text", "repeated_id"), ("text", "repeated_row"), ("climbs", "unsafe_image_name"),
        ("links", "unsafe_image_name"), ("5", "no_conversation"),
    ])  # fmt: skip
    assert {line["problem"]: line["fix"] for line in lines if "fix: true" in line["fix"]}.keys() == {
        "image_suffix", "turn_order", "no_placeholder", "empty_answer", "repeated_row",
    }  # fmt: skip
    assert all(line["fix"] and line["file"] == "llava.json" for line in lines)
    by_id = {line["id"]: line for line in lines}
    assert by_id["broken"]["row"] == 4
    assert by_id["gif"]["detail"] == "coco/gif.jpg: a gif named .jpg"
    assert "placeholder_mismatch" in out
    assert "16 rows, 5 images looked at, 13 problems" in out


def test_what_a_recipe_fixes_does_not_change_the_report(tmp_path, capsys):
    assert inspected(tmp_path, capsys, fix=True)[1] == inspected(tmp_path, capsys, fix=False)[1]


def test_image_files_can_be_left_alone(tmp_path, capsys):
    _, lines, out = inspected(tmp_path, capsys, "--no-images")
    assert {line["problem"] for line in lines} & {"other_format", "image_truncated", "missing_file"} == set()
    assert "0 images looked at" in out


def test_a_clean_set_has_no_lines(tmp_path, capsys):
    status, lines, out = inspected(tmp_path, capsys, rows=[SPOILT[7]])
    assert (status, lines) == (0, [])
    assert "1 rows, 0 images looked at, 0 problems" in out


def test_a_file_that_cannot_be_read_is_a_line_and_status_1(tmp_path, capsys):
    status, (line,), _ = inspected(tmp_path, capsys, rows=[])
    assert (status, line["problem"]) == (1, "unreadable")
