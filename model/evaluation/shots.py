"""Demonstrations before a question: which ones, the same on any number of workers, and the whole prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """Where in the pool each id stands."""
        found: dict[str, list[int]] = {}
        for i, one in enumerate(self.pool):
            found.setdefault(one.id, []).append(i)
        return found

    def chosen(self, number: int, question: Question, count: int) -> list[Question]:
        """Return `count` examples for a question (its number in the file), in the order they are shown.

        Random ones depend on the seed and the question's id alone. The question itself is never its own example.
        Raises ConfigError when the pool is too small.
        """
        own = {i for i in self._places.get(question.id, ()) if self.pool[i].pictures == question.pictures}
        if count > len(self.pool) - len(own):
            there = len(self.pool) - len(own)
            raise ConfigError(f"{count} demonstrations wanted, the pool has {there}; give more, or fewer 'shots'")
        wanted = count + len(own)  # so that enough are left without the question itself
        if self.question_vectors is None or self.pool_vectors is None:
            seed = self.recipe.demonstrations.seed if self.recipe.demonstrations else 0
            drawn = random.Random(f"{seed} {question.id}").sample(range(len(self.pool)), wanted)
            return [self.pool[i] for i in drawn if i not in own][:count]
        cosines = self.pool_vectors @ self.question_vectors[number]
        nearest = [i for i in np.argsort(-cosines, kind="stable")[:wanted].tolist() if i not in own][:count]
        return [self.pool[i] for i in reversed(nearest)]

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
