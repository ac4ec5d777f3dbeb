"""Runs of a tiny model on drawn pictures: the same on any number of workers, resumable, and clear about bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from model.evaluation.answering import Answer, Answerer
from model.evaluation.run import evaluate
from tests.model.conftest import TOKENIZER
from tests.model.evaluation.shared_data import shared


def answers(out: Path, cell: str = "vqav2/0-shot") -> list[dict]:
    return json.loads((out / cell / "predictions.json").read_text())


def test_a_run_leaves_answers_points_scores_and_tables(recipe, checkpoint, tmp_path):
    (zero, two) = evaluate([recipe(shots=(0, 2), dataset="drawn")], checkpoint, str(tmp_path), device="cpu")
    assert (zero.cell.shots, two.cell.shots) == (0, 2)
    assert zero.result.count == 6
    assert [record["question_id"] for record in answers(tmp_path, "vqav2-drawn/0-shot")] == [1, 2, 3, 4, 5, 6]
    items = json.loads((tmp_path / "vqav2-drawn/2-shot/items.json").read_text())
    assert sorted(items) == ["1", "2", "3", "4", "5", "6"]
    lines = [
        json.loads(line) for line in (tmp_path / "vqav2-drawn/2-shot/answers/00000.jsonl").read_text().splitlines()
    ]
    assert all(line["prompt"].count("<image>") == 3 for line in lines)
    assert "this model, 2 shots, vqav2 on drawn" in (tmp_path / "tables.md").read_text()
    page = (tmp_path / "tables.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 12
    assert "The colour of the" in page


def test_known_answers_give_full_scores(recipe, checkpoint, drawn, tmp_path, monkeypatch):
    """The model's words are replaced by the truth; everything around them is real."""
    files = {"questions": str(drawn / "captions.test.json"), "images": str(drawn / "pictures")}
    captions = recipe(task="coco", files=files, demonstrations=None, max_new_tokens=2)
    yes_no = recipe(task="mme", files={**files, "questions": str(drawn / "yes_no")}, demonstrations=None)

    def truth(self, cell, numbers):
        chosen = [cell.questions[number] for number in numbers]
        return [Answer(prompt="", text="", answer=one.answers[0]) for one in chosen]

    monkeypatch.setattr(Answerer, "answer", truth)
    outcomes = evaluate([recipe(), captions, yes_no], checkpoint, str(tmp_path), device="cpu")
    by_task = {outcome.cell.recipe.task: outcome.result for outcome in outcomes}
    assert by_task["vqav2"].score == 100.0
    assert by_task["mme"].metrics["perception"] == by_task["mme"].score == 200.0
    assert by_task["coco"].metrics["Bleu_4"] == pytest.approx(1.0)
    assert by_task["coco"].metrics["ROUGE_L"] == pytest.approx(1.0)


def test_two_workers_give_what_one_gives(recipe, checkpoint, tmp_path):
    one = evaluate([recipe(shots=(2,), beams=2)], checkpoint, str(tmp_path / "one"), device="cpu")
    two = evaluate([recipe(shots=(2,), beams=2)], checkpoint, str(tmp_path / "two"), device="cpu", workers=2)
    assert answers(tmp_path / "one", "vqav2/2-shot") == answers(tmp_path / "two", "vqav2/2-shot")
    assert one[0].result == two[0].result
    assert len(list((tmp_path / "two/vqav2/2-shot/answers").iterdir())) == 2


def test_a_stopped_run_goes_on_with_what_is_missing(recipe, checkpoint, tmp_path, monkeypatch):
    evaluate([recipe()], checkpoint, str(tmp_path), device="cpu")
    whole = answers(tmp_path)
    file = tmp_path / "vqav2/0-shot/answers/00000.jsonl"
    kept = file.read_text().splitlines()[:3]
    file.write_text("\n".join(kept) + '\n{"id": "4", "ans')  # as a crash leaves it
    asked: list[int] = []
    answer = Answerer.answer
    monkeypatch.setattr(
        Answerer, "answer", lambda self, cell, numbers: asked.extend(numbers) or answer(self, cell, numbers)
    )
    evaluate([recipe()], checkpoint, str(tmp_path), device="cpu")
    assert asked == [2, 3, 4, 5]  # whole batches of two, as the first run had them
    assert answers(tmp_path) == whole
    evaluate([recipe()], checkpoint, str(tmp_path), device="cpu")
    assert asked == [2, 3, 4, 5]


def test_answers_of_another_recipe_are_not_mixed_in(recipe, checkpoint, tmp_path):
    evaluate([recipe()], checkpoint, str(tmp_path), device="cpu")
    with pytest.raises(ConfigError, match="answers of a run with another 'max_new_tokens'; use another --out"):
        evaluate([recipe(max_new_tokens=4)], checkpoint, str(tmp_path), device="cpu")


def test_absent_pictures_are_counted_and_named_before_any_work(recipe, checkpoint, tmp_path):
    files = recipe().files.model_dump() | {"images": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError, match=r"6 of 6 pictures are not there \(.*test_0001.png, .*, \.\.\.\)"):
        evaluate([recipe(files=files)], checkpoint, str(tmp_path / "out"), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_is_one_clear_line(recipe, checkpoint, drawn, tmp_path):
    for number in range(1, 7):
        data = (drawn / "pictures" / f"test_{number:04d}.png").read_bytes()
        (tmp_path / f"test_{number:04d}.png").write_bytes(data[: len(data) // 2] if number == 3 else data)
    files = recipe().files.model_dump() | {"images": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"test_0003.png: image_truncated"):
        evaluate([recipe(files=files)], checkpoint, str(tmp_path / "out"), device="cpu")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "coko"}, "unknown task 'coko'. Did you mean 'coco'"),
        ({"shots": (0, 0)}, "'shots' holds different numbers"),
        ({"shots": (4,), "demonstrations": None}, "'demonstrations' and 'demonstration' are needed"),
        ({"promt": "x"}, "promt"),
    ],
)
def test_a_wrong_recipe_is_one_line(recipe, changed, message):
    with pytest.raises(ConfigError, match=message):
        recipe(**changed)


def test_without_a_checkpoint_nothing_starts(recipe, tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        evaluate([recipe()], str(tmp_path), str(tmp_path / "out"), device="cpu")


def test_rices_shows_pictures_of_the_stored_vectors(recipe, checkpoint, clip_folder, drawn, tmp_path):
    clip = {"model": f"local-dir:{clip_folder}", "pretrained": None, "vectors": str(tmp_path / "clip.safetensors")}
    files = recipe().demonstrations.files.model_dump()
    rices = recipe(shots=(2,), demonstrations={"files": files, "select": "rices", "clip": clip})
    evaluate([rices], checkpoint, str(tmp_path / "out"), device="cpu")
    stored = (tmp_path / "clip.safetensors").read_bytes()
    evaluate([rices], checkpoint, str(tmp_path / "again"), device="cpu")
    assert (tmp_path / "clip.safetensors").read_bytes() == stored
    assert answers(tmp_path / "out", "vqav2/2-shot") == answers(tmp_path / "again", "vqav2/2-shot")
    other = clip | {"pretrained": "other"}
    wrong = recipe(shots=(2,), demonstrations={"files": files, "select": "rices", "clip": other})
    with pytest.raises(ConfigError, match="vectors of"):
        evaluate([wrong], checkpoint, str(tmp_path / "third"), device="cpu")


def test_a_published_checkpoint_needs_its_own_tokenizer(recipe, tmp_path):
    reference = shared("infimm_reference")
    for name in ("config.json", "weights.safetensors"):
        shutil.copy(reference / name, tmp_path / name)
    for file in Path(resolve(TOKENIZER)).iterdir():
        shutil.copy(file, tmp_path / file.name)
    with pytest.raises(ConfigError, match="tokens, but the model has 122"):
        evaluate([recipe()], str(tmp_path), str(tmp_path / "out"), device="cpu")


def test_line_separators_inside_answers_do_not_lose_them(recipe, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Answerer, "answer", lambda self, cell, numbers: [Answer("p", "a\u2028b", "a\u2028b\x85") for _ in numbers]
    )
    evaluate([recipe()], checkpoint, str(tmp_path), device="cpu")
    assert {record["answer"] for record in answers(tmp_path)} == {"a\u2028b\x85"}


def test_a_prompt_that_the_model_cannot_hold_is_named(recipe, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match=r"prompt and answer take \d+ tokens, the model takes 2048"):
        evaluate([recipe(prompt="word " * 2100 + "<image>{question}")], checkpoint, str(tmp_path), device="cpu")
