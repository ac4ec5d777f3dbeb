"""The best and the worst answers of a cell with their pictures, small copies under names of our own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from infimm_data.files import write_bytes
from model.evaluation.cells import Cell
from model.evaluation.pictures import open_picture
from model.evaluation.result import Result
from model.evaluation.tasks.contract import Question

SHOWN = 4  # best and worst answers each
SIDE = 224  # pixels of a copy
REFERENCES = 5  # right answers that are shown


def write_gallery(cell: Cell, result: Result) -> None:
    """Write FOLDER/gallery/N.jpg and FOLDER/gallery.json: what was asked, answered and right, best first."""
    questions = {one.id: one for one in cell.questions}
    keys = sorted((key for key in result.items if key in questions), key=lambda key: -result.items[key].points)
    best = keys[:SHOWN]
    worst = keys[SHOWN:][-SHOWN:][::-1]
    entries: list[dict[str, Any]] = []
    for rank, key in [*(("best", key) for key in best), *(("worst", key) for key in worst)]:
        question, item = questions[key], result.items[key]
        name = f"gallery/{len(entries)}.jpg" if question.pictures else None
        if name:
            write_bytes(str(Path(cell.folder) / name), _small(question, cell.recipe.max_pixels))
        entries.append(
            {
                "rank": rank,
                "id": key,
                "question": question.text,
                "references": list(question.answers[:REFERENCES]),
                "answer": item.facts.get("answer"),
                "points": item.points,
                "picture": name,
            }
        )
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    write_bytes(str(Path(cell.folder) / "gallery.json"), text.encode())


def _small(question: Question, max_pixels: int) -> bytes:
    image = open_picture(question.pictures[0], max_pixels=max_pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return data.getvalue()
