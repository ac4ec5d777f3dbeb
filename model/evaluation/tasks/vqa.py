"""Visual question answering with ten people's answers (VQAv2, OK-VQA, TextVQA, VizWiz): VQA accuracy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import join
from model.evaluation.answers import SWAPPED, as_map, as_texts, matched, problem_of, read_data
from model.evaluation.intervals import mean_interval
from model.evaluation.metrics.vqa_accuracy import vqa_accuracy
from model.evaluation.result import Item, Result
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Picture, Question, needed

DIGITS = 2  # of the official evaluation's printed figures
_ID = ("question_id", "image")


@dataclass(frozen=True)
class Vqa:
    """One task of the family; they differ in their files only."""

    holds_references: bool = False

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return the questions; answers are there where `references` (or the file itself) has them."""
        records = _records(read_data(files.questions), ("questions", "data"), path=files.questions)
        people: dict[str, Any] = {}
        if files.references:
            people = _people(files.references)
        found = []
        for number, record in enumerate(records):
            try:
                key = str(record.get("question_id", record.get("image")))
                picture = record.get("image_id", record.get("image"))
                name = str(record.get("image_path") or files.image_name.format(image_id=picture))
                answers = people[key]["answers"] if key in people else _as_records(record.get("answers", ()))
                text = str(record["question"])
            except (KeyError, ValueError, TypeError) as error:
                raise ConfigError(
                    f"{files.questions}, question {number + 1}: {problem_of(error)}; expected VQA's layout"
                ) from None
            pictures = (Picture(name=name, path=join(files.images or ".", name)),)
            found.append(
                Question(id=key, text=text, pictures=pictures, answers=tuple(str(one["answer"]) for one in answers))
            )
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return VQA's result layout."""
        return [
            {"question_id": int(one.id) if one.id.isdecimal() else one.id, "answer": answers[one.id]}
            for one in questions
        ]

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the accuracy, rounded as the official evaluation rounds it, overall, per type and per question."""
        people = _people(needed(references, name))
        found = as_map(read_data(predictions), path=predictions, ids=_ID, values=("answer", "prediction"))
        answers = as_texts(found, path=predictions)
        keys = matched(answers, people, path=predictions, is_partial=scoring.is_partial)
        points = {key: vqa_accuracy(answers[key], people[key]["answers"]) for key in keys}
        metrics = {
            title: _by(points, {key: people[key].get(field) for key in keys})
            for title, field in (("per_answer_type", "answer_type"), ("per_question_type", "question_type"))
        }
        return Result(
            task=name,
            score=_percent(list(points.values())),
            interval=mean_interval(list(points.values()), scale=100),
            count=len(keys),
            metrics={title: by for title, by in metrics.items() if by},
            items={
                key: Item(points=value, facts={"answer": answers[key], "accuracy": round(100 * value, DIGITS)})
                for key, value in points.items()
            },
        )


def _percent(values: Sequence[float]) -> float:
    return round(100 * math.fsum(values) / len(values), DIGITS)


def _by(points: Mapping[str, float], kinds: Mapping[str, Any]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for key, kind in kinds.items():
        if kind is not None:
            groups[str(kind)].append(points[key])
    return {kind: _percent(values) for kind, values in groups.items()}


def _people(path: str) -> dict[str, dict[str, Any]]:
    """Return the annotation of each question by its id; its `answers` are records with the key `answer`."""
    records = _records(read_data(path), ("annotations", "data"), path=path)
    found: dict[str, dict[str, Any]] = {}
    for number, record in enumerate(records):
        try:
            key = str(record["question_id"] if "question_id" in record else record["image"])
            answers = _as_records(record["answers"])
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, annotation {number + 1}: {problem_of(error)}; expected VQA's layout with answers; {SWAPPED}"
            ) from None
        if not answers:
            raise ConfigError(f"{path}: question {key} has no answers of people; expected ten")
        if key in found:
            raise ConfigError(f"{path}: question {key} is there twice")
        found[key] = {**record, "answers": answers}
    return found


def _as_records(answers: Any) -> list[dict[str, Any]]:
    """Return answers as records; texts get a number each, as official files number them."""
    found = [
        {"answer": one, "answer_id": number} if isinstance(one, str) else dict(one)
        for number, one in enumerate(answers)
    ]
    for one in found:
        if not isinstance(one["answer"], str):
            raise TypeError(f"answer {one['answer']!r}")
    return found


def _records(data: Any, names: Sequence[str], *, path: str) -> list[dict[str, Any]]:
    """Return the list of records, which may stand under one of `names`."""
    if isinstance(data, dict):
        data = next((data[name] for name in names if name in data), None)
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise ConfigError(f"{path}: expected a list of records, or an object with '{names[0]}'")
    return data
