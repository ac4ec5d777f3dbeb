"""MME (Fu et al. 2023): fourteen subtasks of yes/no questions in tab-separated files, two questions per picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import join
from model.evaluation.answers import problem_of, read_data, read_text
from model.evaluation.intervals import sum_interval
from model.evaluation.metrics.yes_no import COGNITION, PERCEPTION, parse_yes_no, picture_points
from model.evaluation.result import Item, Result
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Picture, Question

_COLUMNS = ("image", "question", "answer", "response")


@dataclass(frozen=True)
class Mme:
    """score: perception, the first of the two figures that tables print; cognition stands in the metrics."""

    holds_references: bool = True

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return the questions of a folder of SUBTASK.txt (picture, question, answer)."""
        found = []
        for subtask, rows in _subtasks(files.questions).items():
            for number, row in enumerate(rows):
                name = files.image_name.format(image_id=row["image"], subtask=subtask)
                found.append(
                    Question(
                        id=f"{subtask}/{number}",
                        text=row["question"],
                        pictures=(Picture(name=name, path=join(files.images or ".", name)),),
                        answers=(row["answer"],),
                        hint=f"{subtask}\t{row['image']}",
                    )
                )
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return rows with subtask, picture, question, right answer and response."""
        rows = []
        for one in questions:
            subtask, image = one.hint.split("\t")
            row = {"subtask": subtask, "image": image, "question": one.text, "answer": one.answers[0]}
            rows.append(row | {"response": answers[one.id]})
        return rows

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the sum over perception's subtasks of 100 (accuracy + share of pictures with both right).

        The official files of responses hold the right answers too; with `references` those are taken instead, and
        every question must have its response.
        """
        is_partial = scoring.is_partial or references is not None  # these say what is missing
        subtasks = _subtasks(predictions, needs_response=True, is_partial=is_partial)
        _check_repeated(subtasks, predictions)
        if references is not None:
            subtasks = _with_references(subtasks, references, predictions, is_partial=scoring.is_partial)
        points, items, others = {}, {}, 0
        for subtask, rows in subtasks.items():
            right = [parse_yes_no(row["response"]) == row["answer"].strip().lower() for row in rows]
            others += sum(parse_yes_no(row["response"]) == "other" for row in rows)
            pictures: dict[str, list[bool]] = {}
            for number, (row, is_right) in enumerate(zip(rows, right, strict=True)):
                pictures.setdefault(row["image"], []).append(is_right)
                facts = {"answer": row["response"], "question": row["question"], "reference": row["answer"]}
                items[f"{subtask}/{number}"] = Item(points=float(is_right), facts=facts)
            wrong = [image for image, own in pictures.items() if len(own) != 2]
            if wrong:
                raise ConfigError(
                    f"{predictions}, {subtask}: {len(wrong)} pictures without exactly two questions ({wrong[0]}, ...)"
                )
            points[subtask] = [picture_points(own) for own in pictures.values()]
        means = {subtask: math.fsum(own) / len(own) for subtask, own in points.items()}
        perception = [subtask for subtask in means if subtask in PERCEPTION]
        chosen = perception or list(means)
        return Result(
            task=name,
            score=math.fsum(means[subtask] for subtask in chosen),
            interval=sum_interval([points[subtask] for subtask in chosen]),
            count=len(items),
            metrics={
                "perception": math.fsum(means[subtask] for subtask in perception),
                "cognition": math.fsum(means[subtask] for subtask in means if subtask in COGNITION),
                "subtasks": means,
                "unparsable": others,
            },
            items=items,
        )


Rows = list[dict[str, str]]


def _subtasks(path: str, *, needs_response: bool = False, is_partial: bool = True) -> dict[str, Rows]:
    """Return the rows of each subtask: of a folder of SUBTASK.txt, of one such file, or of records with a subtask.

    Files may be gzip (.txt.gz). is_partial: whether a folder may lack some of the fourteen.
    """
    place = Path(path)
    columns = len(_COLUMNS) if needs_response else len(_COLUMNS) - 1
    if place.is_dir():
        return {subtask: _lines(str(file), columns) for subtask, file in _files(place, is_partial=is_partial).items()}
    if path.removesuffix(".gz").endswith(".txt"):
        return {_subtask_of(place): _lines(path, columns)}
    data = read_data(path)
    found: dict[str, Rows] = {}
    for number, record in enumerate(data if isinstance(data, list) else []):
        try:
            subtask = record["subtask"] if "subtask" in record else record["category"]
            cells = {key: record[key] for key in _COLUMNS[:columns]}
            wrong = [key for key, cell in cells.items() if not isinstance(cell, str | int | float)]
            if wrong or any(isinstance(cell, bool) for cell in cells.values()):
                raise TypeError(f"{', '.join(wrong) or 'a truth value'}: expected text")
            found.setdefault(str(subtask), []).append({key: str(cell) for key, cell in cells.items()})
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, record {number + 1}: {problem_of(error)}; expected subtask, {', '.join(_COLUMNS)}"
            ) from None
    if not found:
        raise ConfigError(f"{path}: no responses; expected a folder of MME's SUBTASK.txt, or a list of records")
    return found


def _subtask_of(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".txt")


def _files(folder: Path, *, is_partial: bool) -> dict[str, Path]:
    """Return MME's files in a folder and below, by subtask."""
    found: dict[str, Path] = {}
    for file in sorted([*folder.rglob("*.txt"), *folder.rglob("*.txt.gz")]):
        if (subtask := _subtask_of(file)) in (*PERCEPTION, *COGNITION):
            if subtask in found:
                raise ConfigError(f"{folder}: {found[subtask].name} and {file.name} are the same subtask; remove one")
            found[subtask] = file
    if not found:
        raise ConfigError(f"{folder}: none of MME's files (existence.txt, count.txt, ...) in this folder")
    absent = [subtask for subtask in (*PERCEPTION, *COGNITION) if subtask not in found]
    if absent and not is_partial:
        some = ", ".join(absent[:3])
        raise ConfigError(
            f"{folder}: {len(absent)} of MME's 14 files are absent ({some}, ...); add them, or pass --partial"
        )
    return found


def _check_repeated(subtasks: dict[str, Rows], path: str) -> None:
    for subtask, rows in subtasks.items():
        seen: set[tuple[str, str]] = set()
        for row in rows:
            key = (row["image"], row["question"])
            if key in seen:
                raise ConfigError(f"{path}: {subtask}, {key[0]}, '{key[1][:60]}' is answered twice")
            seen.add(key)


def _lines(path: str, columns: int) -> Rows:
    rows = []
    for number, line in enumerate(read_text(path).split("\n")):
        if not line.strip():
            continue
        cells = line.removesuffix("\r").split("\t")
        if len(cells) < columns:
            expected = ", ".join(_COLUMNS[:columns])
            raise ConfigError(f"{path}, line {number + 1}: {len(cells)} columns, expected {expected} between tabs")
        if columns == len(_COLUMNS):
            cells = [*cells[:3], " ".join(cells[3:])]  # a tab inside a response is part of it
        rows.append(dict(zip(_COLUMNS, cells, strict=False)))
    if not rows:
        raise ConfigError(f"{path}: the file is empty; expected {', '.join(_COLUMNS[:columns])} between tabs")
    return rows


def _with_references(subtasks: dict[str, Rows], references: str, path: str, *, is_partial: bool) -> dict[str, Rows]:
    """Return the responses with the answers of the reference files, matched by subtask, picture and question."""
    known = {(task, row["image"], row["question"]): row for task, rows in _subtasks(references).items() for row in rows}
    given: dict[tuple[str, str, str], dict[str, str]] = {}
    for task, rows in subtasks.items():
        for row in rows:
            key = (task, row["image"], row["question"])
            if key in given or key not in known:
                problem = "is answered twice" if key in given else f"is not in {references}"
                raise ConfigError(f"{path}: {task}, {row['image']}, '{row['question'][:60]}' {problem}")
            given[key] = row
    missing = [key for key in known if key not in given]
    if missing and not is_partial:
        raise ConfigError(
            f"{path}: {len(missing)} of {len(known)} questions without a response (first: {', '.join(missing[0])[:90]})"
        )
    found: dict[str, Rows] = {}
    for key, row in known.items():
        if key in given:
            found.setdefault(key[0], []).append({**given[key], "answer": row["answer"]})
    return found
