"""Scores on official files equal the official ones: overall to the printed digit, and question by question."""

from __future__ import annotations

import json

import pytest

from model.evaluation.result import Result
from model.evaluation.scoring import Scoring
from model.evaluation.table import TASKS
from tests.model.evaluation.shared_data import shared


def scored(task: str, predictions: object, references: object) -> Result:
    return TASKS[task].score(task, str(predictions), None if references is None else str(references), Scoring())


@pytest.mark.parametrize("case", ["human_leave_one_out", "mixed_quality", "tylin_fakecap_overlap"])
def test_captions_per_picture_and_in_all(case):
    folder = shared("eval_caption", case)
    expected = json.loads((folder / "expected.json").read_text())
    result = scored("coco", folder / "predictions.json", folder / "references.json")
    for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"):
        assert result.metrics[name] == pytest.approx(expected["scores"][name], abs=1e-9)
    assert result.score == pytest.approx(100 * expected["scores"]["CIDEr"])
    for name, values in expected["per_image"].items():
        for key, value in values.items():
            assert result.items[key].facts[name] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("task", "case", "score"),
    [("vqav2", "vqav2_2962", 54.80), ("textvqa", "textvqa_val_2502", 58.29), ("vizwiz", "vizwiz_val_2183", 44.43)],
)
def test_vqa_per_question_and_in_all(task, case, score):
    folder = shared("eval_vqa", case)
    expected = json.loads((folder / "expected.json").read_text())
    result = scored(task, folder / "predictions.json", folder / "annotations.json.gz")
    assert result.score == expected["overall"] == score
    assert result.metrics["per_answer_type"] == expected["perAnswerType"]
    assert result.metrics["per_question_type"] == expected["perQuestionType"]
    assert {key: item.facts["accuracy"] for key, item in result.items.items()} == expected["perQuestion"]


def test_mme_of_every_subtask():
    folder = shared("eval_mme", "LaVIN")
    expected = json.loads(shared("eval_mme", "LaVIN_expected.json").read_text())
    for references in (None, folder):
        result = scored("mme", folder, references)
        for name, total in (("Perception", "perception"), ("Cognition", "cognition")):
            assert result.metrics[total] == pytest.approx(expected[name].pop("total"))
            for subtask, value in expected[name].items():
                assert result.metrics["subtasks"][subtask] == pytest.approx(value)
        expected = json.loads(shared("eval_mme", "LaVIN_expected.json").read_text())
    assert (round(result.score, 2), round(result.metrics["cognition"], 2)) == (963.61, 249.64)


def test_mmmu_parsed_and_already_parsed():
    folder, answers = shared("eval_mmmu", "llava1.5_13b"), shared("eval_mmmu", "answer_dict_val.json")
    expected = json.loads(shared("eval_mmmu", "llava1.5_13b_expected.json").read_text())
    for references in (None, answers):
        result = scored("mmmu", folder, references)
        assert result.metrics["correct"] == expected["correct_without_random"] == 329
        assert result.metrics["unparsable"] == expected["random_unparsable"] == 2
        for sample in (one for own in expected["per_sample"].values() for one in own if not one["random_choice"]):
            assert bool(result.items[sample["id"]].points) is sample["correct"]
    result = scored("mmmu", folder / "total_val_output.json", answers)
    assert result.metrics["accuracy"] == 0.367
    assert list(result.metrics["domains"].values()) == [0.525, 0.227, 0.293, 0.387, 0.55, 0.31]


def test_science_qa_per_question_and_by_group():
    folder = shared("eval_scienceqa")
    expected = json.loads((folder / "llava_13b_v0_expected.json").read_text())
    result = scored("scienceqa", folder / "llava_13b_v0_outputs.json.gz", folder / "problems_partial.json.gz")
    assert (result.metrics["correct"], result.count) == (expected["correct_here"], expected["n_here"])
    assert {key: item.facts["parsed"] for key, item in result.items.items()} == expected["predicted_index"]
    by = {name: [own["correct"], own["count"]] for name, own in result.metrics["accuracy_by"].items()}
    assert by == expected["acc_by"]
