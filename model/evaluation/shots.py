"""Demonstrations before a question: which ones, the same on any number of workers, and the whole prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infimm_data.errors import ConfigError
from model.evaluation.prompts import Piece, render
from model.evaluation.recipe import EvalRecipe
from model.evaluation.tasks.contract import Question

Vectors = npt.NDArray[np.float32]
TEXT_DEMONSTRATIONS = 2  # of the zero-shot convention (Alayrac et al. 2022, appendix D.1.5)


@dataclass(frozen=True)
class Shots:
    """pool: examples that may be shown, in order; for RICES also the unit vectors of the questions' pictures, [Q, D],
    and of the pool's, [P, D].
    """

    recipe: EvalRecipe
    pool: tuple[Question, ...]
    question_vectors: Vectors | None = None
    pool_vectors: Vectors | None = None

    def chosen(self, number: int, question: Question, count: int) -> list[Question]:
        """Return `count` examples for a question (its number in the file), in the order they are shown.

        Random ones depend on the seed and the question's id alone. The question itself is never its own example.
        Raises ConfigError when the pool is too small.
        """
        own = (question.id, question.pictures)
        others = [i for i, one in enumerate(self.pool) if (one.id, one.pictures) != own]
        if count > len(others):
            raise ConfigError(f"{count} demonstrations wanted, the pool has {len(others)}; give more, or fewer 'shots'")
        if self.question_vectors is None or self.pool_vectors is None:
            seed = self.recipe.demonstrations.seed if self.recipe.demonstrations else 0
            return [self.pool[i] for i in random.Random(f"{seed} {question.id}").sample(others, count)]
        cosines = (self.pool_vectors @ self.question_vectors[number])[others]
        nearest = np.argsort(-cosines, kind="stable")[:count]
        return [self.pool[others[i]] for i in nearest[::-1]]

    def prompt(self, number: int, question: Question, shots: int) -> list[Piece]:
        """Return everything that stands before the answer."""
        recipe, pieces = self.recipe, list[Piece]()
        is_text = shots == 0 and recipe.zero_shot == "two_text_demonstrations"
        for example in self.chosen(number, question, TEXT_DEMONSTRATIONS if is_text else shots):
            answer = example.answers[0].strip() if example.answers else ""
            shown = render(recipe.demonstration or "", example, answer=answer, with_pictures=not is_text)
            pieces += [*shown, recipe.separator]
        return pieces + render(recipe.prompt, question)


def random_pool(examples: Sequence[Question], *, size: int | None, seed: int) -> tuple[Question, ...]:
    """Return `size` examples drawn once, in the order of the file; None or more than there are: all."""
    if size is None or size >= len(examples):
        return tuple(examples)
    return tuple(examples[i] for i in sorted(random.Random(seed).sample(range(len(examples)), size)))
