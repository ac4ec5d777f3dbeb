"""What every task answers: questions from official files, the official layout of answers, and their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from infimm_data.config import Settings
from infimm_data.errors import ConfigError
from model.evaluation.result import Result
from model.evaluation.scoring import Scoring


class EvalFiles(Settings):
    """The `files` section of a recipe: local copies of what the benchmark publishes."""

    questions: str
    """JSON, JSON lines or TSV (perhaps .gz), a Parquet file or folder, or a folder that `datasets` saved."""
    references: str | None = None
    """What answers are scored against, where that is another file; None: `questions` holds it."""
    images: str | None = None
    """Folder of the pictures, where they stand in files of their own."""
    image_name: str = "{image_id}"
    """The file of a picture inside `images`, from the question, e.g. "COCO_val2014_{image_id:012d}.jpg"."""
    split: str | None = None
    """Take only records of this split, where records name one (Karpathy's files, ScienceQA)."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file by its path, or its bytes; name: what messages call it."""

    name: str
    path: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """text: with `<image N>` where a picture of a sequence stands, else all pictures come first; options: texts of
    A, B, ...; hint: context; answers: of the people, the first is what a demonstration shows.
    """

    id: str
    text: str
    pictures: tuple[Picture, ...]
    answers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    hint: str = ""


class Task(Protocol):
    """One benchmark; an instance is an entry of `model.evaluation.table.TASKS`."""

    @property
    def holds_references(self) -> bool:
        """Whether the official layout of answers holds the right ones too."""
        ...

    def questions(self, files: EvalFiles) -> list[Question]:
        """Return all questions, in the order of the files; raises ConfigError when a file is not the official one."""
        ...

    def predictions(self, answers: Mapping[str, str], questions: Sequence[Question]) -> Any:
        """Return answers by question id in the official layout of submissions, as plain data."""
        ...

    def score(self, name: str, predictions: str, references: str | None, scoring: Scoring) -> Result:
        """Return the score of a file (or folder) of answers; raises ConfigError when the two do not fit."""
        ...


def needed(references: str | None, name: str) -> str:
    """Return the path; raises ConfigError when there is none."""
    if references is None:
        raise ConfigError(f"--task {name}: --references is needed: the file with the right answers")
    return references
