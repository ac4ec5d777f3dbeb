"""Draws three small benchmarks in official layouts, answers known: `python -m pipelines.demo.make_benchmarks FOLDER`.

FOLDER/pictures/*.png         one plain shape each, none of them in the dump
FOLDER/captions.SPLIT.json    COCO's annotations, five captions per picture
FOLDER/questions.SPLIT.json   VQA's questions: the beginning of a sentence that ends in the colour
FOLDER/answers.SPLIT.json     VQA's annotations, ten equal answers each
FOLDER/yes_no/color.txt       MME's layout: a right and a wrong colour per picture
SPLIT is test, or train for demonstrations.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from pipelines.demo.captions import describe
from pipelines.demo.pictures import encode, held_back
from pipelines.demo.scene import COLOURS, Scene

SEEDS = {"test": 7_001, "train": 7_002}
CAPTIONS = 5  # per picture, as COCO has
PEOPLE = 10  # answers per question, as VQA has


def make_benchmarks(folder: str, *, pictures: int = 64) -> None:
    """Write the files; pictures: per split. The same files every time."""
    place = Path(folder)
    (place / "pictures").mkdir(parents=True, exist_ok=True)
    (place / "yes_no").mkdir(exist_ok=True)
    for split, seed in SEEDS.items():
        rng = random.Random(f"benchmark {split}")
        scenes: list[tuple[int, str, Scene]] = []
        for number, (image, scene) in enumerate(held_back(pictures, seed=seed), start=1):
            name = f"{split}_{number:04d}.png"
            (place / "pictures" / name).write_bytes(encode(image, "png"))
            scenes.append((number, name, scene))
        _write(place / f"captions.{split}.json", _captions(scenes, rng))
        questions, answers = _questions(scenes)
        _write(place / f"questions.{split}.json", {"questions": questions})
        _write(place / f"answers.{split}.json", {"annotations": answers})
        if split == "test":
            (place / "yes_no" / "color.txt").write_text("".join(_yes_no(scenes, rng)))


def _captions(scenes: list[tuple[int, str, Scene]], rng: random.Random) -> dict[str, Any]:
    return {
        "images": [{"id": number, "file_name": name} for number, name, _ in scenes],
        "annotations": [
            {"id": number * CAPTIONS + i, "image_id": number, "caption": describe(scene, rng)}
            for number, _, scene in scenes
            for i in range(CAPTIONS)
        ],
    }


def _questions(scenes: list[tuple[int, str, Scene]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    questions, answers = [], []
    for number, name, scene in scenes:
        group = scene.groups[0]
        own = {"question_id": number, "image_id": name}
        questions.append({**own, "question": f"The colour of the {group.shape} is"})
        people = [{"answer": group.colour, "answer_confidence": "yes", "answer_id": i} for i in range(1, PEOPLE + 1)]
        answers.append({**own, "question_type": "the colour", "answer_type": "other", "answers": people})
    return questions, answers


def _yes_no(scenes: list[tuple[int, str, Scene]], rng: random.Random) -> list[str]:
    lines = []
    for _, name, scene in scenes:
        group = scene.groups[0]
        other = rng.choice([colour for colour in COLOURS if colour != group.colour])
        for colour, answer in ((group.colour, "Yes"), (other, "No")):
            lines.append(f"{name}\tIs there a {colour} {group.shape}? Please answer yes or no.\t{answer}\n")
    return lines


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    make_benchmarks(sys.argv[1])
