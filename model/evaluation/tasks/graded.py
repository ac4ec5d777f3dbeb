"""Open answers that a judge grades from 0 to 1: MM-Vet (Yu et al. 2023) and InfiMM-Eval (Han et al. 2023).

The published figures come from GPT-4 with prompts of the benchmarks. Ours say the same in our own words, as those
texts are not ours to ship; `--judge-prompt FILE` takes the official one. Figures of different judges or prompts do
not compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import join
from model.evaluation.answers import as_map, matched, read_data
from model.evaluation.intervals import mean_interval, weighted_interval
from model.evaluation.judge import Judge
from model.evaluation.metrics.grades import complexity_weight, parse_grade, weighted_score
from model.evaluation.result import Item, Result
from model.evaluation.rows import picture_of
from model.evaluation.scoring import Scoring
from model.evaluation.tasks.contract import EvalFiles, Picture, Question, needed

GRADE_TOKENS = 8
TRIES = 5  # a judge that gives no number is asked again, warmer by half a degree each time, as MM-Vet's own script

MM_VET_PROMPT = """\
Grade an answer to a question about a picture against the right answer, from 0.0 (wrong) to 1.0 (right) in steps of 0.1.
<AND> in the right answer: all parts must be there for 1.0, some of them give a part. <OR>: any one of them gives 1.0.
Judge what is said, not how. Reply with the number only.

Question: {question}
Right answer: {reference}
Answer: {answer}
Grade:"""

INFIMM_EVAL_PROMPT = """\
Grade an answer to a reasoning question about pictures, from 0.0 to 1.0. An answer that ends in the right conclusion
gets 1.0. If the conclusion is wrong or missing, give the share of the reference's reasoning steps that the answer
takes correctly. Judge what is said, not how. Reply with the number only.

Question: {question}
Right answer: {reference}
Reasoning steps of the reference: {steps}
Answer: {answer}
Grade:"""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """prompt: with {question}, {reference}, {answer} and perhaps {steps}; is_weighted: InfiMM-Eval's weights."""

    prompt: str
    is_weighted: bool
    holds_references: bool = False

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return the questions; pictures are named by `imagename`, `image`, `images` or `image_path`."""
        found = []
        for key, record in _records(files.questions).items():
            named = next(
                (record[name] for name in ("imagename", "images", "image", "image_path") if name in record), ()
            )
            pictures = []
            for one in named if isinstance(named, list | tuple) else [named]:
                if isinstance(one, str):
                    pictures.append(Picture(name=one, path=join(files.images or ".", one)))
                elif (picture := picture_of(one, f"{files.questions}, {key}")) is not None:
                    pictures.append(picture)
            reference = str(record.get("answer", ""))
            found.append(Question(id=key, text=_question(record), pictures=tuple(pictures), answers=(reference,)))
        return found

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return {question id: answer}."""
        return {one.id: answers[one.id] for one in questions}

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the mean grade x 100.

        predictions: {id: answer}, or MM-Vet's grade file {id: {"score": [of each run]}}, which needs no judge.
        """
        records = _records(needed(references, name))
        found = as_map(
            read_data(predictions),
            path=predictions,
            ids=("question_id", "id", "index"),
            values=("answer", "text", "prediction", "score"),
        )
        keys = matched(found, records, path=predictions, is_partial=scoring.is_partial)
        grades, unread = {}, 0
        for key in keys:
            given = _given(found[key], f"{predictions}, question {key}")
            if given is None:
                given = self._grade(name, records[key], str(found[key]), scoring)
                unread += given is None
            grades[key] = 0.0 if given is None else given
        if scoring.judge and unread == len(keys):
            what = "a number from 0 to 1 at the start of any reply"
            raise InfiMMError(f"--judge {scoring.judge.model}: none of {unread} answers was graded; expected {what}")
        by: dict[str, list[float]] = {}
        for key in keys:
            for label in _labels(records[key]):
                by.setdefault(label, []).append(grades[key])
        score, interval = self._mean(records, grades)
        return Result(
            task=name,
            score=score,
            interval=interval,
            count=len(keys),
            metrics={
                "judge": scoring.judge.model if scoring.judge else None,
                "ungraded": unread,
                "mean": 100 * math.fsum(grades.values()) / len(keys),
                "by": {label: 100 * math.fsum(own) / len(own) for label, own in sorted(by.items())},
            },
            items={key: Item(points=grades[key], facts={"answer": _shown(found[key])}) for key in keys},
        )

    def _grade(self, name: str, record: Mapping[str, Any], answer: str, scoring: Scoring) -> float | None:
        """Return the mean of the judge's grades, or None when it gives no number in any try."""
        if scoring.judge is None:
            raise ConfigError(
                f"--task {name}: a judge is needed: --judge URL --judge-model NAME of any OpenAI-compatible endpoint "
                "(or predictions with their 'score')"
            )
        reference = str(record.get("answer", "")).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
        fields = {"question": _question(record), "reference": reference, "answer": answer, "steps": _steps(record)}
        template = scoring.grader or self.prompt
        prompt = re.sub(r"\{(question|reference|answer|steps)\}", lambda match: fields[match[1]], template)
        runs = [_one_grade(scoring.judge, prompt, repeat) for repeat in range(scoring.grader_runs)]
        grades = [grade for grade in runs if grade is not None]
        return math.fsum(grades) / len(grades) if grades else None

    def _mean(
        self, records: Mapping[str, Mapping[str, Any]], grades: Mapping[str, float]
    ) -> tuple[float, tuple[float, float] | None]:
        if not self.is_weighted:
            values = list(grades.values())
            return 100 * math.fsum(values) / len(values), mean_interval(values, scale=100)
        weights = {key: complexity_weight(str(_complexity(records[key]))) for key in grades}
        wrong = [key for key, weight in weights.items() if weight is None]
        if wrong:
            raise ConfigError(f"{len(wrong)} questions whose complexity is neither moderate nor high (id {wrong[0]})")
        groups: dict[int, list[float]] = {}
        for key, weight in weights.items():
            groups.setdefault(weight or 0, []).append(grades[key])
        total = sum(weight * len(own) for weight, own in groups.items())
        shares = [(own, weight * len(own) / total) for weight, own in groups.items()]
        return weighted_score(groups), weighted_interval(shares, scale=100)


def _one_grade(judge: Judge, prompt: str, repeat: int) -> float | None:
    for attempt in range(TRIES):
        grade = parse_grade(judge.ask(prompt, max_tokens=GRADE_TOKENS, temperature=attempt / 2, repeat=repeat))
        if grade is not None:
            return grade
    return None


def _records(path: str) -> dict[str, dict[str, Any]]:
    data = read_data(path)
    if isinstance(data, list):
        ids = ("question_id", "id", "index", "data_id")
        as_map(data, path=path, ids=ids, values=("question", "prompt"))  # each has both, and no id comes twice
        data = {str(next(row[name] for name in ids if name in row)): row for row in data}
    if not isinstance(data, dict) or not all(isinstance(record, dict) for record in data.values()):
        raise ConfigError(f"{path}: expected an object of questions by id, or a list of questions with ids")
    return {str(key): record for key, record in data.items()}


def _question(record: Mapping[str, Any]) -> str:
    return str(record.get("question", record.get("prompt", "")))


def _steps(record: Mapping[str, Any]) -> str:
    found = next((record[name] for name in ("steps", "reasoning", "rationale", "explanation") if name in record), "")
    return "; ".join(map(str, found)) if isinstance(found, list) else str(found)


def _complexity(record: Mapping[str, Any]) -> Any:
    return next((record[name] for name in ("complexity", "reasoning_complexity", "difficulty") if name in record), "")


def _labels(record: Mapping[str, Any]) -> list[str]:
    """Return MM-Vet's capabilities, or InfiMM-Eval's kind of reasoning and complexity."""
    found: list[str] = []
    for name in ("capability", "reasoning_type", "category", "complexity", "reasoning_complexity"):
        value = record.get(name)
        found += [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []
    return sorted(set(found))


def _given(value: Any, where: str) -> float | None:
    """Return the mean of grades that a file of predictions already holds."""
    if isinstance(value, dict) and "score" in value:
        value = value["score"]
    if isinstance(value, bool | str):
        return None
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, int | float) and 0 <= one <= 1 for one in values):
        raise ConfigError(f"{where}: found {str(value)[:60]}, expected an answer in text, or numbers from 0 to 1")
    return math.fsum(values) / len(values)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value.get("model", "")) if isinstance(value, dict) else ""
