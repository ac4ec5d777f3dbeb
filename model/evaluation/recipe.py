"""Recipes of evaluation, configs/eval/*.yaml: what is asked, how it is shown, how text becomes an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from infimm_data.config import Settings, load_settings
from infimm_data.files import resolve
from model.evaluation.table import TASKS, task_named
from model.evaluation.tasks.captions import Captions
from model.evaluation.tasks.contract import EvalFiles


class ClipSettings(Settings):
    """The CLIP whose image vectors RICES compares (open_clip's names)."""

    model: str = "ViT-L-14"
    pretrained: str | None = "openai"
    vectors: str
    """Where the vectors are kept (.safetensors): made by the first run, read by all later ones."""


class Demonstrations(Settings):
    """Solved examples before each question."""

    files: EvalFiles
    """Of the training split."""
    select: Literal["random", "rices"] = "random"
    """random: by seed and question id alone; rices: the pictures most alike, the most alike last (Yang et al. 2022)."""
    pool: int | None = Field(default=2048, ge=1)
    """random: they come from this many examples drawn once, as OpenFlamingo does; None: from all."""
    seed: int = 42
    clip: ClipSettings | None = None

    @model_validator(mode="after")
    def _has_clip(self) -> Demonstrations:
        if self.select == "rices" and self.clip is None:
            raise ValueError("'select: rices' needs 'clip' with the model and the file of its vectors")
        return self


class EvalRecipe(Settings):
    """One task."""

    task: str
    files: EvalFiles
    dataset: str | None = None
    """What the questions are, where they are not the benchmark's own: such a score stands apart from published rows."""
    shots: tuple[int, ...] = (0,)
    """Each number of demonstrations is a run of its own."""
    prompt: str
    """With `<image>`, `<|endofchunk|>`, `</s>` and {question}, {options}, {hint}; `<s>` is put before it."""
    demonstration: str | None = None
    """As `prompt`, with {answer}."""
    separator: str = "\n"
    """Between a demonstration and what follows."""
    demonstrations: Demonstrations | None = None
    zero_shot: Literal["two_text_demonstrations", "nothing"] = "two_text_demonstrations"
    """With 0 shots: two examples without their pictures, as Flamingo and OpenFlamingo do, or no example at all."""
    beams: int = Field(default=1, ge=1)
    length_penalty: float = 0.0
    max_new_tokens: int = Field(default=20, ge=1)
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts."""
    remove: tuple[str, ...] = ()
    """Texts taken out of the answer."""
    stem: bool = False
    """Bring answers to the stems that OK-VQA's references have; needs nltk."""
    batch: int = Field(default=8, ge=1)
    """Questions answered at once. Part of what makes a run repeatable to the bit, so workers never change it."""
    clip_score: ClipSettings | None = None
    """Captioning only: also CLIPScore and RefCLIPScore with this CLIP; the published ones are ViT-B-32's, openai."""
    is_scored: bool = True
    """False where the right answers are not public: only the file for the benchmark's server is written."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first questions; a table made so is none."""
    max_pixels: int = Field(default=89_478_485, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = Field(default=1, ge=1)
    """CPU threads per process. Sums differ in their last bits with it, so it is not left to the machine."""

    @field_validator("task")
    @classmethod
    def _exists(cls, name: str) -> str:
        task_named(name)
        return name

    @model_validator(mode="after")
    def _can_show(self) -> EvalRecipe:
        needs = any(self.shots) or (0 in self.shots and self.zero_shot == "two_text_demonstrations")
        if needs and (self.demonstrations is None or self.demonstration is None):
            raise ValueError("'demonstrations' and 'demonstration' are needed: for 'shots' above 0, and for 0 unless "
                             "'zero_shot: nothing'")  # fmt: skip
        if self.clip_score is not None and not isinstance(TASKS[self.task], Captions):
            raise ValueError("'clip_score' measures captions: of tasks like coco and flickr30k only")
        if min(self.shots, default=-1) < 0 or len(set(self.shots)) < len(self.shots):
            raise ValueError("'shots' holds different numbers from 0 up, e.g. [0, 4]")
        return self


def load_eval_recipe(path: str) -> EvalRecipe:
    """Return the recipe; raises ConfigError naming key and remedy."""
    return load_settings(resolve(path), EvalRecipe)
