"""MME's score (Fu et al. 2023): two yes/no questions per picture, and a bonus where both are right."""

from __future__ import annotations

from collections.abc import Sequence

PERCEPTION = (
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
)  # fmt: skip
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
SEEN = 4  # characters of a response that count


def parse_yes_no(response: str) -> str:
    """Return "yes", "no" or "other": whichever stands in the first four characters, yes before no."""
    start = response.lower()[:SEEN]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def picture_points(right: Sequence[bool]) -> float:
    """Return what a picture adds to the mean of its subtask, 0 to 200: accuracy of its questions, and 100 for all."""
    return 100.0 * sum(right) / len(right) + 100.0 * all(right)
