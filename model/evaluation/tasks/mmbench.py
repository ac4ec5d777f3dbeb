"""MMBench (Liu et al. 2023) by CircularEval: right is what is right under every rotation of the options."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError
from model.evaluation.answers import as_map, as_texts, matched, problem_of, read_data
from model.evaluation.guess import guessed
from model.evaluation.intervals import mean_interval
from model.evaluation.metrics.choices import LETTERS, mmbench_choice
from model.evaluation.result import Item, Result
from model.evaluation.rows import picture_of, read_rows
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Question, needed

ROTATION = 1_000_000
"""Index of a question's k-th rotation: index + k x this, as in the published circular files."""

JUDGE_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class _Row:
    """options: texts by letter, of this rotation; answer: its letter."""

    question: str
    hint: str
    options: Mapping[str, str]
    answer: str
    category: str
    picture: Any


@dataclass(frozen=True)
class MmBench:
    """Answers that name no option go to the judge where there is one, else they are wrong and counted."""

    holds_references: bool = False

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return every rotation of every question, made here where the file has the questions once."""
        rows = _with_rotations(_rows(files.questions))
        found = []
        for index, row in rows.items():
            picture = picture_of(row.picture, f"{files.questions}, index {index}")
            found.append(
                Question(
                    id=str(index),
                    text=row.question,
                    pictures=(picture,) if picture else (),
                    answers=(row.answer,),
                    options=tuple(row.options.values()),
                    hint=row.hint,
                )
            )
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return rows of index, prediction."""
        return [{"index": int(one.id), "prediction": answers[one.id]} for one in questions]

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the share of questions right under all rotations; one pass per question where no rotation is there."""
        path = needed(references, name)
        rows = _rows(path)
        found = as_map(
            read_data(predictions),
            path=predictions,
            ids=("index", "question_id", "id"),
            values=("prediction", "answer", "text"),
        )
        answers = as_texts(found, path=predictions)
        if any(key.isdecimal() and int(key) >= ROTATION for key in answers):
            rows = _with_rotations(rows)
        keys = matched(answers, map(str, rows), path=predictions, is_partial=scoring.is_partial)
        keys, num_incomplete = _whole_circles(keys, rows, path=predictions)
        parsed = {key: mmbench_choice(answers[key], rows[int(key)].options) for key in keys}
        unread = [key for key in keys if parsed[key] is None]
        for key in unread:
            parsed[key] = _settled(key, rows[int(key)], answers[key], scoring)
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(int(key) % ROTATION, []).append(key)
        right = {key: parsed[key] == rows[int(key)].answer for key in keys}
        points = {index: float(all(right[key] for key in own)) for index, own in groups.items()}
        by: dict[str, list[float]] = {}
        for index, value in points.items():
            by.setdefault(rows[index].category, []).append(value)
        return Result(
            task=name,
            score=100 * sum(points.values()) / len(points),
            interval=mean_interval(list(points.values()), scale=100),
            count=len(points),
            metrics={
                "is_circular": len(keys) > len(points),
                "incomplete": num_incomplete,
                "single_pass": 100 * sum(right.values()) / len(keys),
                "unparsable": len(unread),
                "categories": {name: 100 * sum(own) / len(own) for name, own in by.items() if name},
            },
            items={
                str(index): Item(
                    points=value,
                    facts={
                        "answer": [answers[key] for key in groups[index]],
                        "parsed": [parsed[key] for key in groups[index]],
                    },
                )
                for index, value in points.items()
            },
        )


def _whole_circles(keys: Sequence[str], rows: Mapping[int, Any], *, path: str) -> tuple[list[str], int]:
    """Return the keys of the questions of which every rotation is answered, and how many others were begun."""
    wanted = Counter(index % ROTATION for index in rows)
    given = Counter(int(key) % ROTATION for key in keys)
    whole = [key for key in keys if given[int(key) % ROTATION] == wanted[int(key) % ROTATION]]
    if not whole:
        raise ConfigError(f"{path}: no question with all its rotations answered; nothing can be scored")
    return whole, sum(given[index] < wanted[index] for index in given)


def _settled(key: str, row: _Row, answer: str, scoring: Scoring) -> str | None:
    """Return what the judge reads in an answer that the rules cannot; else a guess if guesses are wanted."""
    if scoring.judge is not None:
        options = "\n".join(f"{letter}. {text}" for letter, text in row.options.items())
        prompt = (
            "Which option does this answer mean? Reply with one capital letter, or Z if it means none of them.\n"
            f"Question: {row.question}\nOptions:\n{options}\nAnswer: {answer}\nLetter:"
        )
        said = mmbench_choice(scoring.judge.ask(prompt, max_tokens=JUDGE_TOKENS), row.options)
        if said is not None:
            return said
    return guessed(key, list(row.options), scoring.guess_seed)


def _rows(path: str) -> dict[int, _Row]:
    """Return the published rows by index."""
    found: dict[int, _Row] = {}
    for number, row in enumerate(read_rows(path)):
        try:
            index = int(row["index"])
            options = {letter: str(row[letter]) for letter in LETTERS[:8] if row.get(letter) not in (None, "", "nan")}
            answer = str(row["answer"]).strip()
            if index in found or answer not in options:
                raise ValueError(f"index {index} twice" if index in found else f"answer '{answer}' is no option")
            found[index] = _Row(
                question=str(row["question"]),
                hint="" if row.get("hint") in (None, "nan") else str(row["hint"]),
                options=options,
                answer=answer,
                category=str(row.get("category") or ""),
                picture=row.get("image"),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}, row {number + 1}: {problem_of(error)}; "
                "expected MMBench's columns index, question, A, B, ..., answer"
            ) from None
    return found


def _with_rotations(rows: Mapping[int, _Row]) -> dict[int, _Row]:
    """Return the rows with every rotation of each; a file that has rotations is returned as it is."""
    if any(index >= ROTATION for index in rows):
        # Rows of a rotation leave the picture to the question itself: there the cell holds that question's index.
        return {index: _with_own_picture(row, rows) for index, row in rows.items()}
    found = dict(rows)
    for index, row in rows.items():
        letters, texts = list(row.options), list(row.options.values())
        for turn in range(1, len(letters)):
            place = (letters.index(row.answer) - turn) % len(letters)
            found[index + turn * ROTATION] = _Row(
                question=row.question,
                hint=row.hint,
                options=dict(zip(letters, texts[turn:] + texts[:turn], strict=True)),
                answer=letters[place],
                category=row.category,
                picture=row.picture,
            )
    return found


def _with_own_picture(row: _Row, rows: Mapping[int, _Row]) -> _Row:
    if isinstance(row.picture, str) and row.picture.isdecimal() and int(row.picture) in rows:
        return dataclasses.replace(row, picture=rows[int(row.picture)].picture)
    return row
