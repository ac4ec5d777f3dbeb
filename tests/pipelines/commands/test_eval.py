"""`infimm eval`: one JSON object for a file of answers, tables for recipes, one line and status 2 for wrong input."""

from __future__ import annotations

import json

import pytest

from pipelines.cli import main

TEN = [{"answer": "red", "answer_id": number} for number in range(10)]
PEOPLE = {"annotations": [{"question_id": number, "answers": TEN} for number in (1, 2)]}
ANSWERS = [{"question_id": 1, "answer": "red"}, {"question_id": 2, "answer": "blue"}]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    return ["--predictions", str(tmp_path / "answers.json"), "--references", str(tmp_path / "people.json")]


def test_a_file_of_answers_prints_one_json_object(files, capsys, tmp_path):
    assert main(["eval", "--task", "vqav2", *files, "--items", str(tmp_path / "items.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed)[:5] == ["task", "score", "interval", "interval_method", "count"]
    assert (printed["task"], printed["score"], printed["count"]) == ("vqav2", 50.0, 2)
    low, high = printed["interval"]
    assert low < 50 < high
    items = json.loads((tmp_path / "items.json").read_text())
    assert (items["1"]["accuracy"], items["2"]["accuracy"]) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "vqa"], "unknown task 'vqa'. Did you mean 'vqav2'?"),
        (["--task", "vqav2", "--judge", "http://localhost/v1"], "--judge-model is needed with --judge"),
        (["--task", "vqav2", "--judge-prompt", "nowhere.txt"], "nowhere.txt: no such file"),
        (["recipe.yaml", "--task", "vqav2"], "give one of both"),
        ([], "--task and --predictions belong together"),
    ],
)
def test_wrong_arguments_are_one_line_with_status_2(files, capsys, arguments, message):
    assert main(["eval", *files, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give RECIPE ... --checkpoint C --out OUT, or --task"),
        (["nowhere.yaml", "--checkpoint", "c", "--out", "o"], "nowhere.yaml: no such file"),
        (["--task", "vqav2", "--predictions", "nowhere.json", "--references", "r"], "no such file"),
        (["--task", "vqav2", "--predictions", "nowhere.json"], "--references is needed"),
    ],
)
def test_missing_input_is_named(capsys, arguments, message):
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_answers_that_miss_a_question_name_it(files, capsys, tmp_path):
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS[:1]))
    assert main(["eval", "--task", "vqav2", *files]) == 2
    assert "1 question (id 2) without an answer, of 2" in capsys.readouterr().err
    assert main(["eval", "--task", "vqav2", *files, "--partial"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 100.0
