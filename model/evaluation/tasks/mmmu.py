"""MMMU (Yue et al. 2024): college questions of 30 subjects, with options or open, parsed by the official rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infimm_data.errors import ConfigError
from model.evaluation.answers import matched, read_data
from model.evaluation.guess import guessed
from model.evaluation.intervals import mean_interval
from model.evaluation.metrics.choices import LETTERS, mmmu_choice
from model.evaluation.metrics.open_answer import is_right
from model.evaluation.result import Item, Result
from model.evaluation.rows import picture_of, read_rows
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Question

DOMAINS = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy",
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics", "Energy_and_Power",
        "Materials", "Mechanical_Engineering",
    ),
}  # fmt: skip
MOST_PICTURES = 7  # image_1 ... image_7 of the published rows


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """answer: a letter or texts; options: {} where the file has none; response: None until answered."""

    is_choice: bool
    answer: tuple[str, ...]
    options: Mapping[str, str]
    response: str | None


@dataclass(frozen=True)
class Mmmu:
    """Answers that name no option are wrong and counted, where the official tool guesses."""

    holds_references: bool = True

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return the questions of the published Parquet rows (id, question, options, answer, image_1 ... image_7)."""
        found = []
        for row in read_rows(files.questions):
            options = row["options"]
            options = ast.literal_eval(options) if isinstance(options, str) else list(options)
            pictures = [
                picture_of(row.get(f"image_{n}"), f"{row['id']}, image_{n}") for n in range(1, MOST_PICTURES + 1)
            ]
            found.append(
                Question(
                    id=str(row["id"]),
                    text=str(row["question"]),
                    pictures=tuple(picture for picture in pictures if picture),
                    answers=tuple(_texts(row["answer"])),
                    options=tuple(map(str, options)),
                )
            )
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return the samples of the official output.json: what is parsed, and against what."""
        found = []
        for one in questions:
            letters = LETTERS[: len(one.options)]
            found.append(
                {
                    "id": one.id,
                    "question_type": "multiple-choice" if one.options else "open",
                    "answer": one.answers[0] if len(one.answers) == 1 else list(one.answers),
                    "all_choices": list(letters),
                    "index2ans": dict(zip(letters, one.options, strict=True)),
                    "response": answers[one.id],
                }
            )
        return found

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the micro average of all questions, per subject and domain beside it.

        predictions: the official samples with `response` (a file, or a folder of SUBJECT/output.json), or an object
        {id: letter or text}, which needs `references`: answer_dict_val.json, or samples with options.
        """
        own = _samples(predictions)
        if references is None and not all(sample.answer for sample in own.values()):
            raise ConfigError(f"--task {name}: {predictions} holds no right answers; give them with --references")
        known = own if references is None else _samples(references)
        given = {key: sample for key, sample in own.items() if sample.response is not None}
        keys = matched(given, known, path=predictions, is_partial=scoring.is_partial)
        without = [key for key in keys if not known[key].answer]
        if without:
            found = f"{len(without)} questions without a right answer (id {', '.join(without[:3])})"
            raise ConfigError(f"{references or predictions}: {found}; are --predictions and --references swapped?")
        points, items, unread = {}, {}, 0
        for key in keys:
            reference = known[key]
            options = reference.options or own[key].options
            said = str(own[key].response)
            parsed: str | None = said.strip()
            if reference.is_choice:
                if options:
                    parsed = mmmu_choice(said, tuple(options), options)
                elif parsed not in tuple(LETTERS):
                    parsed = None
                unread += parsed is None
                parsed = parsed or guessed(key, list(options) or list("ABCD"), scoring.guess_seed)
                points[key] = float(parsed in reference.answer)
            else:
                points[key] = float(is_right(said, reference.answer))
            items[key] = Item(points=points[key], facts={"answer": said, "parsed": parsed})
        by: dict[str, list[float]] = {}
        for key in keys:
            by.setdefault(_subject(key), []).append(points[key])
        return Result(
            task=name,
            score=100 * sum(points.values()) / len(keys),
            interval=mean_interval(list(points.values()), scale=100),
            count=len(keys),
            metrics={
                "accuracy": round(sum(points.values()) / len(keys), 3),
                "correct": int(sum(points.values())),
                "unparsable": unread,
                "domains": _means(
                    {domain: [p for one in own for p in by.get(one, [])] for domain, own in DOMAINS.items()}
                ),
                "subjects": _means(by),
            },
            items=items,
        )


def _means(groups: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: round(sum(own) / len(own), 3) for name, own in groups.items() if own}


def _subject(key: str) -> str:
    return "_".join(key.split("_")[1:-1])


def _texts(answer: Any) -> list[str]:
    return [str(one) for one in answer] if isinstance(answer, list) else [str(answer)]


def _samples(path: str) -> dict[str, _Sample]:
    found: dict[str, _Sample] = {}
    for file, key, value in _entries(path):
        if key in found:
            raise ConfigError(f"{file}: question {key} more than once")
        if value is None or isinstance(value, list | bool):
            raise ConfigError(f"{file}, question {key}: found {type(value).__name__}, expected a letter or text")
        if not isinstance(value, dict):
            found[key] = _Sample(is_choice=True, answer=(), options={}, response=str(value))
            continue
        answer = value.get("answer", value.get("ground_truth"))
        options = value.get("index2ans") or {}
        response = value.get("response", value.get("prediction"))
        if not isinstance(options, dict) or (response is not None and not isinstance(response, str | int | float)):
            raise ConfigError(f"{file}, question {key}: expected MMMU's layout (id, question_type, answer, response)")
        found[key] = _Sample(
            is_choice=value.get("question_type", "multiple-choice") == "multiple-choice",
            answer=() if answer is None else tuple(_texts(answer)),
            options={str(letter): str(text) for letter, text in options.items()},
            response=None if response is None else str(response),
        )
    return found


def _entries(path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (file, id, record or text) of a file, or of every output.json below a folder."""
    files = [str(file) for file in sorted(Path(path).glob("*/output.json"))] if Path(path).is_dir() else [path]
    if not files:
        raise ConfigError(f"{path}: no SUBJECT/output.json in this folder")
    for file in files:
        data = read_data(file)
        if isinstance(data, list):
            for number, record in enumerate(data):
                if not isinstance(record, dict) or "id" not in record:
                    raise ConfigError(f"{file}, record {number + 1}: no 'id'; expected MMMU's samples")
                yield file, str(record["id"]), record
        elif isinstance(data, dict):
            for key, value in data.items():
                yield file, str(key), value
        else:
            raise ConfigError(f"{file}: found {type(data).__name__}, expected MMMU's samples or an object by id")
