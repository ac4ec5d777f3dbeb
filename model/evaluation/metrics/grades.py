"""Grades of a judge: the number in what it says, and InfiMM-Eval's weighted score."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

WEIGHTS = {"moderate": 1, "high": 2}
"""InfiMM-Eval (Han et al. 2023, section 3.3): a question of high complexity counts twice."""


def parse_grade(said: str) -> float | None:
    """Return the number that the reply begins with, if it is one from 0 to 1."""
    match = re.match(r"\s*(\d+(?:\.\d+)?|\.\d+)(?![\d.]*\d)", said)
    grade = float(match[1]) if match else -1.0
    return grade if 0 <= grade <= 1 else None


def complexity_weight(complexity: str) -> int | None:
    """Return 1 for "Moderate", 2 for "High", None for anything else."""
    return WEIGHTS.get(complexity.strip().lower())


def weighted_score(groups: Mapping[int, Sequence[float]]) -> float:
    """Return 100 (sum of moderate grades + 2 sum of high grades) / (their number + 2 their number).

    groups: grades by weight.
    """
    total = sum(weight * len(grades) for weight, grades in groups.items())
    return 100 * math.fsum(weight * math.fsum(grades) for weight, grades in groups.items()) / total
