"""A cell: one task at one number of shots. Its questions, and its folder with answers that a stopped run goes on from.

OUT/TASK/N-shot/ (TASK-DATASET where the questions are not the benchmark's own)
  about.json        recipe and checkpoint; a run with others is refused
  answers/*.jsonl   one line per question, a file per worker
  predictions.json  the official layout
  items.json        points of each question
  result.json       the score
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import write_bytes
from model.evaluation.clip_vectors import stored_vectors
from model.evaluation.pictures import check_pictures
from model.evaluation.postprocess import stemmed
from model.evaluation.recipe import EvalRecipe
from model.evaluation.shots import Shots, Vectors, random_pool
from model.evaluation.table import TASKS
from model.evaluation.tasks.contract import Picture, Question


@dataclass(frozen=True)
class Cell:
    """recipe and shots: what is measured; folder: where it lies."""

    recipe: EvalRecipe
    shots: int
    folder: str

    @cached_property
    def questions(self) -> list[Question]:
        """The questions, as far as `limit` goes."""
        found = TASKS[self.recipe.task].questions(self.recipe.files)
        ids = {one.id for one in found}
        if len(ids) < len(found):
            raise ConfigError(f"{self.recipe.files.questions}: {len(found) - len(ids)} question ids more than once")
        if not found:
            raise ConfigError(f"{self.recipe.files.questions}: no questions")
        return found[: self.recipe.limit]

    @cached_property
    def demonstrations(self) -> Shots:
        """The examples; for RICES with the vectors of pictures, which are computed where not stored."""
        settings = self.recipe.demonstrations
        pool, vectors = pool_of(self.recipe, self.shots)
        if vectors is None or settings is None or settings.clip is None:
            return Shots(self.recipe, pool)
        own = stored_vectors(_only_pictures(self.questions), settings.clip, max_pixels=self.recipe.max_pixels)
        return Shots(self.recipe, pool, own, vectors)

    def check(self, checkpoint: str) -> None:
        """Raise ConfigError before any work when a picture is absent, or the folder is of another run."""
        if self.recipe.stem:
            stemmed("words")  # so that a missing package is known now, not after the first batch
        check_pictures(self.questions, what=self.recipe.task)
        check_pictures(self.demonstrations.pool, what=f"{self.recipe.task}, demonstrations")
        about = {"checkpoint": checkpoint, "shots": self.shots, "recipe": self.recipe.model_dump(mode="json")}
        place = Path(self.folder) / "about.json"
        if place.is_file():
            was = json.loads(place.read_text(encoding="utf-8"))
            parts = {**about, **about["recipe"]} if isinstance(about["recipe"], dict) else about
            old = {**was, **was.get("recipe", {})}
            changed = [name for name in parts if name != "recipe" and parts[name] != old.get(name)]
            if changed:
                raise ConfigError(f"{self.folder}: answers of a run with another '{changed[0]}'; use another --out")
        write_bytes(str(place), (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())

    def answers(self) -> dict[str, dict[str, Any]]:
        """Return what is answered so far, by question id; a line that a crash left half written is passed over."""
        found = {}
        for file in sorted((Path(self.folder) / "answers").glob("*.jsonl")):
            for line in file.read_text(encoding="utf-8").split("\n"):  # splitlines would cut at U+2028 inside answers
                try:
                    record = json.loads(line)
                    found[str(record["id"])] = record
                except (ValueError, KeyError, TypeError):
                    continue
        return found

    def batches(self) -> Iterator[tuple[int, ...]]:
        """Yield the numbers of questions that are answered together: always the same, whoever answers them."""
        for start in range(0, len(self.questions), self.recipe.batch):
            yield tuple(range(start, min(start + self.recipe.batch, len(self.questions))))


def pool_of(recipe: EvalRecipe, shots: int) -> tuple[tuple[Question, ...], Vectors | None]:
    """Return the examples that may be shown, and for RICES the vectors of their pictures."""
    settings = recipe.demonstrations
    if settings is None or (shots == 0 and recipe.zero_shot == "nothing"):
        return (), None
    examples = TASKS[recipe.task].questions(settings.files)
    if settings.select == "random" or settings.clip is None or shots == 0:
        return random_pool(examples, size=settings.pool, seed=settings.seed), None
    vectors = stored_vectors(_only_pictures(examples), settings.clip, max_pixels=recipe.max_pixels)
    return tuple(examples), vectors


def _only_pictures(questions: Sequence[Question]) -> list[Picture]:
    bad = [one.id for one in questions if len(one.pictures) != 1]
    if bad:
        raise ConfigError(f"'select: rices' needs one picture per question; {len(bad)} have none or several ({bad[0]})")
    return [one.pictures[0] for one in questions]


def cells_of(recipes: list[EvalRecipe], out: str) -> list[Cell]:
    """Return the cells of recipes; raises ConfigError when two recipes make the same one."""
    found: dict[str, Cell] = {}
    for recipe in recipes:
        other = re.sub(r"[^a-z0-9]+", "-", f"-{recipe.dataset.lower()}").rstrip("-") if recipe.dataset else ""
        for shots in recipe.shots:
            folder = str(Path(out) / f"{recipe.task}{other}" / f"{shots}-shot")
            if folder in found:
                raise ConfigError(f"two recipes ask {recipe.task} at {shots} shots; give each its own --out")
            found[folder] = Cell(recipe, shots, folder)
    return list(found.values())
