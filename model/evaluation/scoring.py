"""How answers are scored: the few choices that are not the task's own."""

from __future__ import annotations

from dataclasses import dataclass

from model.evaluation.judge import Judge


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """is_partial: score only the answered questions; guess_seed: draw an option where none can be read, None never
    does and counts it as wrong; judge: a language model that grades, where a task needs one; grader: the prompt for
    it, None is ours; grader_runs: grades per answer, of which the mean counts (MM-Vet's paper takes 5).
    """

    is_partial: bool = False
    guess_seed: int | None = None
    judge: Judge | None = None
    grader: str | None = None
    grader_runs: int = 1
