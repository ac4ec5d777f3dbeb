"""A whole evaluation: recipes and a checkpoint in, answers, scores and the two tables out; resumable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infimm_data.errors import ConfigError
from infimm_data.files import write_bytes
from model.evaluation.answering import answer_cells, checkpoint_identity
from model.evaluation.cells import Cell, cells_of
from model.evaluation.clip_vectors import stored_vectors, text_vectors
from model.evaluation.gallery import write_gallery
from model.evaluation.metrics.clip_score import CAPTION_PREFIX, clip_score, ref_clip_score
from model.evaluation.recipe import ClipSettings, EvalRecipe
from model.evaluation.result import Result
from model.evaluation.scoring import Scoring
from model.evaluation.table import TASKS
from model.evaluation.tables import write_tables
from model.evaluation.tasks.graded import Graded


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """result: None where the right answers are not public."""

    cell: Cell
    result: Result | None


def evaluate(
    recipes: Sequence[EvalRecipe],
    checkpoint: str,
    out: str,
    *,
    workers: int = 1,
    device: str = "auto",
    scoring: Scoring | None = None,
) -> list[Outcome]:
    """Measure a checkpoint; return what each task at each number of shots gave.

    Raises ConfigError before any work when a recipe, a file or a picture is not what it should be.
    """
    scoring = scoring or Scoring()
    cells = cells_of(list(recipes), out)
    for cell in cells:
        if isinstance(TASKS[cell.recipe.task], Graded) and cell.recipe.is_scored and scoring.judge is None:
            raise ConfigError(f"{cell.recipe.task}: a judge is needed to score it: --judge URL --judge-model NAME")
    identity = checkpoint_identity(checkpoint)
    for cell in cells:
        cell.check(identity)
    answer_cells(cells, checkpoint, workers=workers, device=device)
    outcomes = [Outcome(cell=cell, result=_scored(cell, scoring)) for cell in cells]
    write_tables(out)
    return outcomes


def _scored(cell: Cell, scoring: Scoring) -> Result | None:
    """Write predictions.json, and where the answers are public items.json and result.json."""
    task, records = TASKS[cell.recipe.task], cell.answers()
    answers = {one.id: str(records[one.id]["answer"]) for one in cell.questions}
    place = Path(cell.folder)
    predictions = str(place / "predictions.json")
    _write(predictions, task.predictions(answers, cell.questions))
    if not cell.recipe.is_scored:
        return None
    files = cell.recipe.files
    references = None if task.holds_references else files.references or files.questions
    result = task.score(
        cell.recipe.task,
        predictions,
        references,
        replace(scoring, is_partial=scoring.is_partial or cell.recipe.limit is not None),
    )
    if cell.recipe.clip_score is not None:
        result = replace(result, metrics={**result.metrics, **_clip_scores(cell, cell.recipe.clip_score, answers)})
    _write(str(place / "items.json"), result.items_json())
    write_gallery(cell, result)
    _write(str(place / "result.json"), {**_about(cell), **result.as_json()})
    return result


def _clip_scores(cell: Cell, settings: ClipSettings, answers: dict[str, str]) -> dict[str, float]:
    """Return the means of CLIPScore and RefCLIPScore over the pictures of a captioning cell."""
    pictures = stored_vectors([one.pictures[0] for one in cell.questions], settings, max_pixels=cell.recipe.max_pixels)
    captions = text_vectors([CAPTION_PREFIX + answers[one.id] for one in cell.questions], settings)
    flat = text_vectors([CAPTION_PREFIX + text for one in cell.questions for text in one.answers], settings)
    ends = np.cumsum([len(one.answers) for one in cell.questions])[:-1]
    with_references = ref_clip_score(pictures, captions, np.split(flat, ends))
    return {"CLIPScore": float(clip_score(pictures, captions).mean()), "RefCLIPScore": float(with_references.mean())}


def _about(cell: Cell) -> dict[str, Any]:
    recipe = cell.recipe
    convention = recipe.zero_shot if cell.shots == 0 else None
    return {"shots": cell.shots, "zero_shot": convention, "limit": recipe.limit, "dataset": recipe.dataset}


def _write(path: str, data: Any) -> None:
    write_bytes(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
