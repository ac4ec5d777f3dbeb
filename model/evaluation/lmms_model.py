r"""InfiMM as a model of lmms-eval (0.7), with interleaved demonstrations, which that suite has for text only.

    lmms_eval --model infimm --tasks vqav2_val --batch_size 16 \
        --model_args pretrained=RUN,recipe=configs/eval/vqav2.yaml,shots=4

The suite gives the questions and scores the answers. A recipe of ours, where one is named, gives the form of the
prompt, the demonstrations with their pictures (random or RICES) and the beams; what the task's own generation
settings say goes before it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import torch
from lmms_eval.api.model import lmms
from PIL import Image

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.evaluation.answering import Answerer, load_answerer
from model.evaluation.cells import pool_of
from model.evaluation.clip_vectors import stored_vectors
from model.evaluation.recipe import EvalRecipe, load_eval_recipe
from model.evaluation.shots import Shots
from model.evaluation.tasks.contract import Picture, Question

_PLAIN = {"task": "vqav2", "files": {"questions": "-"}, "prompt": "<image>{question}", "zero_shot": "nothing"}
"""Without a recipe: pictures and text as the suite orders them, no demonstrations."""


class InfiMMChat(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """pretrained: folder of a run or checkpoint; recipe, shots: see the module."""

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        *,
        recipe: str | None = None,
        shots: int | str = 0,
        device: str | None = None,
        batch_size: int | str = 8,
        **unknown: Any,
    ) -> None:
        """Load the model; raises ConfigError naming an argument that is not ours."""
        super().__init__()
        if unknown:
            known = "pretrained, recipe, shots, device, batch_size"
            raise ConfigError(f"--model_args: unknown '{next(iter(unknown))}'; infimm takes {known}")
        self._join_processes(device)
        self.recipe = load_eval_recipe(recipe) if recipe else parse_settings(_PLAIN, EvalRecipe, where="lmms-eval")
        self.shots, self.batch_size = int(shots), int(batch_size)
        if self.shots and self.recipe.demonstrations is None:
            raise ConfigError("--model_args: 'shots' needs recipe=FILE whose 'demonstrations' they come from")
        self.answerer: Answerer = load_answerer(pretrained, self.device)
        self.pool, self.pool_vectors = pool_of(self.recipe, self.shots)

    def _join_processes(self, device: str | None) -> None:
        """Take rank and device from accelerate, which lmms-eval is launched with on several GPUs."""
        local = 0
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator  # lmms-eval needs it, so it is there

            self.accelerator = Accelerator()
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            local = self.accelerator.local_process_index
        wanted = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.device = f"cuda:{local}" if wanted == "cuda" else wanted

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Return one answer per request, in order; requests of one batch share their generation settings."""
        questions, settings = [], []
        for request in requests:
            _, doc_to_messages, generation, doc_id, task, split = request.args
            messages = doc_to_messages(self.task_dict[task][split][doc_id])
            questions.append(question_of(messages, f"{task}/{split}/{doc_id}"))
            settings.append(with_generation(self.recipe, generation))
        shots = self._shots(questions)
        answers: list[str] = [""] * len(requests)
        for group in dict.fromkeys(settings):
            own = [i for i, one in enumerate(settings) if one == group]
            for start in range(0, len(own), self.batch_size):
                numbers = own[start : start + self.batch_size]
                prompts = [shots.prompt(i, questions[i], self.shots) for i in numbers]
                for i, answer in zip(numbers, self.answerer.texts(prompts, group), strict=True):
                    answers[i] = answer.answer
        return answers

    def _shots(self, questions: Sequence[Question]) -> Shots:
        """Return the demonstrations, with the vectors of these questions' pictures where RICES compares them."""
        clip = self.recipe.demonstrations.clip if self.recipe.demonstrations else None
        if self.pool_vectors is None or clip is None:
            return Shots(self.recipe, self.pool)
        pictures = [one.pictures[0] for one in questions]
        vectors = stored_vectors(pictures, clip, device=self.device, max_pixels=self.recipe.max_pixels)
        return Shots(self.recipe, self.pool, vectors, self.pool_vectors)

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not there: our models are asked once."""
        raise NotImplementedError("infimm: tasks of several rounds are not supported")

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not there: lmms-eval asks chat models for text alone."""
        raise NotImplementedError("infimm: log-likelihood tasks are not supported; lmms-eval has none for chat models")


def question_of(messages: Sequence[Any], key: str) -> Question:
    """Return a chat's user turns as one question: its first pictures in front, later ones in their place in the text.

    Raises ConfigError on video and audio.
    """
    text, pictures = "", list[Picture]()
    for message in messages:
        role, content = _field(message, "role"), _field(message, "content")
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            kind = _field(part, "type")
            if role == "system" or kind not in ("text", "image"):
                raise ConfigError(f"{key}: a {role} message with {kind}; infimm takes texts and images of the user")
            if kind == "text":
                text += str(_field(part, "text"))
                continue
            pictures.append(_picture(_field(part, "url"), f"{key}, picture {len(pictures) + 1}"))
            if text:
                text += f"<image {len(pictures)}>"
    return Question(id=key, text=text, pictures=tuple(pictures))


def with_generation(recipe: EvalRecipe, generation: dict[str, Any]) -> EvalRecipe:
    """Return the recipe with what a task says about lengths, beams and where an answer ends.

    Raises ConfigError when the task wants sampling.
    """
    if generation.get("do_sample") and (generation.get("temperature") or 0) > 0:
        raise ConfigError("infimm: this task samples its answers; greedy and beam search are supported")
    changed: dict[str, Any] = {}
    if generation.get("max_new_tokens"):
        changed["max_new_tokens"] = int(generation["max_new_tokens"])
    if (generation.get("num_beams") or 1) > 1:
        changed["beams"] = int(generation["num_beams"])
    ends = generation.get("until") or ()
    changed["stop"] = (*recipe.stop, *([ends] if isinstance(ends, str) else ends))
    return recipe.model_copy(update=changed)


def _field(value: Any, name: str) -> Any:
    """Return a field of lmms-eval's messages, which are dicts or its own objects."""
    return value[name] if isinstance(value, dict) else getattr(value, name)


def _picture(value: Any, name: str) -> Picture:
    """Return a picture of the suite, a PIL image or a path, as ours: without loss, so that it is what the suite has."""
    if isinstance(value, str):
        return Picture(name=name, path=value)
    if not isinstance(value, Image.Image):
        raise ConfigError(f"{name}: {type(value).__name__}, expected a PIL image or a path")
    data = io.BytesIO()
    (value if value.mode in ("RGB", "L", "RGBA", "P") else value.convert("RGB")).save(data, "PNG", compress_level=1)
    return Picture(name=name, data=data.getvalue())
