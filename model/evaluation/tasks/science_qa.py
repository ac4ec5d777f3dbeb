"""ScienceQA (Lu et al. 2022), read as LLaVA reads it: the option's letter, nothing guessed."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import join
from model.evaluation.answers import SWAPPED, as_map, as_texts, matched, problem_of, read_data
from model.evaluation.guess import guessed
from model.evaluation.intervals import mean_interval
from model.evaluation.metrics.choices import LETTERS, science_qa_choice
from model.evaluation.result import Item, Result
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Picture, Question, needed

_EARLY = ("grade1", "grade2", "grade3", "grade4", "grade5", "grade6")


@dataclass(frozen=True)
class ScienceQa:
    """split: what is scored; questions with a picture are its IMG subset, the figure of InfiMM's table."""

    split: str = "test"
    holds_references: bool = False

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return the questions with a picture."""
        found = []
        for key, problem in _problems(files.questions, files.split or self.split).items():
            if not problem["image"]:
                continue
            name = f"{key}/{problem['image']}"
            picture = Picture(name=name, path=join(files.images or ".", files.split or self.split, name))
            found.append(
                Question(
                    id=key,
                    text=str(problem["question"]),
                    pictures=(picture,),
                    answers=(LETTERS[problem["answer"]],),
                    options=tuple(problem["choices"]),
                    hint=str(problem.get("hint") or ""),
                )
            )
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return {question id: text}."""
        return {one.id: answers[one.id] for one in questions}

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the accuracy over the split, or over its IMG subset where exactly that was answered."""
        problems = _problems(needed(references, name), self.split)
        data = read_data(predictions)
        if isinstance(data, dict) and isinstance(data.get("outputs"), dict):
            data = data["outputs"]  # LLaVA's own result file
        found = as_map(data, path=predictions, ids=("question_id", "id"), values=("text", "answer", "pred"))
        answers = as_texts(found, path=predictions)
        pictured = {key: problem for key, problem in problems.items() if problem["image"]}
        is_img = bool(pictured) and answers.keys() == pictured.keys()
        wanted = pictured if is_img else problems
        keys = matched(answers, wanted, path=predictions, is_partial=scoring.is_partial)
        read = {key: science_qa_choice(answers[key], len(problems[key]["choices"])) for key in keys}
        unread = [key for key in keys if read[key] is None]
        for key in unread:
            read[key] = guessed(key, range(len(problems[key]["choices"])), scoring.guess_seed)
        points = {key: float(read[key] == problems[key]["answer"]) for key in keys}
        groups = {key: _groups(problems[key]) for key in keys}
        return Result(
            task=name,
            score=100 * sum(points.values()) / len(keys),
            interval=mean_interval(list(points.values()), scale=100),
            count=len(keys),
            metrics={
                "correct": int(sum(points.values())),
                "unparsable": len(unread),
                "subset": "IMG" if is_img else self.split,
                "accuracy_by": _accuracy_by(points, groups),
            },
            items={key: Item(points=points[key], facts={"answer": answers[key], "parsed": read[key]}) for key in keys},
        )


def _groups(problem: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of ScienceQA's table that a question counts in."""
    modality = "IMG" if problem["image"] else "TXT" if problem.get("hint") else "NO"
    grade = "G1-6" if problem.get("grade") in _EARLY else "G7-12"
    return (str(problem.get("subject")), modality, grade)


def _accuracy_by(points: Mapping[str, float], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    count, right = Counter[str](), Counter[str]()
    for key, own in groups.items():
        count.update(own)
        right.update(dict.fromkeys(own, int(points[key])))
    return {
        group: {"correct": right[group], "count": count[group], "accuracy": 100 * right[group] / count[group]}
        for group in sorted(count)
    }


def _by_id(records: Sequence[Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, record in enumerate(records):
        key = str(record.get("id", number)) if isinstance(record, dict) else str(number)
        if key in found:
            raise ConfigError(f"{path}: problem {key} stands there twice; remove one")
        found[key] = record
    return found


def _problems(path: str, split: str) -> dict[str, dict[str, Any]]:
    """Return the problems of a split by id, choices as a list and the answer as an index."""
    data = read_data(path)
    if isinstance(data, list):
        data = _by_id(data, path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected ScienceQA's problems.json, an object of problems by id")
    found = {}
    for key, problem in data.items():
        try:
            if problem.get("split", split) != split:
                continue
            choices = problem["choices"]
            choices = ast.literal_eval(choices) if isinstance(choices, str) else choices
            answer = int(problem["answer"])
            if not 0 <= answer < len(choices):
                raise ValueError(f"answer {answer} of {len(choices)} choices")
        except (KeyError, ValueError, TypeError, AttributeError, SyntaxError, RecursionError) as error:
            raise ConfigError(
                f"{path}, problem {key}: {problem_of(error)}; expected ScienceQA's problems.json; {SWAPPED}"
            ) from None
        found[str(key)] = {**problem, "choices": list(choices), "answer": answer, "image": problem.get("image")}
    if not found:
        raise ConfigError(f"{path}: no problems of split '{split}'")
    return found
