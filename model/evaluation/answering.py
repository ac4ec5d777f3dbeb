"""A checkpoint answers the questions of cells: in fixed batches, on any number of processes, each answer kept."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import sha256_of
from infimm_data.progress import Track
from infimm_data.stream.images import to_pixels
from model.checkpoint import TENSORS, checkpoints
from model.evaluation.cells import Cell
from model.evaluation.pictures import open_picture
from model.evaluation.postprocess import to_answer
from model.evaluation.prompts import Piece, to_prompt, to_text
from model.evaluation.recipe import EvalRecipe
from model.evaluation.tasks.contract import Picture
from model.export import load_speaker
from model.generate import Sampling, generate
from model.infimm import InfiMM, vision_of
from model.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Answer:
    """prompt: as people read it; text: all the model said; answer: what of it is scored."""

    prompt: str
    text: str
    answer: str


@dataclass(frozen=True)
class Answerer:
    """A model in evaluation mode and its tokenizer."""

    model: InfiMM
    tokenizer: Tokenizer

    def answer(self, cell: Cell, numbers: Sequence[int]) -> list[Answer]:
        """Return what the model says to the questions with these numbers."""
        prompts = [cell.demonstrations.prompt(number, cell.questions[number], cell.shots) for number in numbers]
        return self.texts(prompts, cell.recipe)

    def texts(self, prompts: Sequence[Sequence[Piece]], recipe: EvalRecipe) -> list[Answer]:
        """Return what the model says after each prompt, by greedy or beam search as the recipe says."""
        vocabulary = self.tokenizer.vocabulary
        read = [to_prompt(pieces, vocabulary, lambda one: self._pixels(one, recipe)) for pieces in prompts]
        self._check_length(max(len(prompt.ids) for prompt in read) + recipe.max_new_tokens)
        is_mixed = recipe.precision == "bf16"
        with torch.autocast(self.model.device.type, torch.bfloat16) if is_mixed else contextlib.nullcontext():
            sampling = Sampling(
                max_new_tokens=recipe.max_new_tokens, beams=recipe.beams, length_penalty=recipe.length_penalty
            )
            tokens = generate(self.model, read, vocabulary, sampling)
        said = [self.tokenizer.decode(own) for own in tokens]
        return [
            Answer(to_text(pieces), text, to_answer(text, recipe)) for pieces, text in zip(prompts, said, strict=True)
        ]

    def _check_length(self, tokens: int) -> None:
        most = self.model.max_tokens
        if tokens > most:
            raise ConfigError(f"prompt and answer take {tokens} tokens, the model takes {most}; use fewer 'shots'")

    def _pixels(self, picture: Picture, recipe: EvalRecipe) -> Tensor:
        image = open_picture(picture, max_pixels=recipe.max_pixels)
        return torch.from_numpy(to_pixels(image, vision_of(self.model).image_side))


def load_answerer(checkpoint: str, device: str) -> Answerer:
    """Return the model of a checkpoint, ours or in the published layout; raises ConfigError when there is none."""
    speaker = load_speaker(checkpoint, device=device, dtype=torch.float32)
    return Answerer(speaker.model.eval(), speaker.tokenizer)


def checkpoint_identity(checkpoint: str) -> str:
    """Return what tells these weights from others, wherever they lie; raises ConfigError when there are none."""
    folder = Path(checkpoint)
    if not (folder / "config.json").is_file():
        finished = checkpoints(checkpoint)
        if not finished:
            raise ConfigError(f"--checkpoint {checkpoint}: no checkpoint; expected a folder step-* or a run's --out")
        folder = finished[-1]
    patterns = ("*.safetensors", "*.bin", f"{TENSORS}/*-00001-of-*.safetensors")  # of a run: each rank's first file
    weights = sorted(file for pattern in patterns for file in folder.glob(pattern))
    if not weights:
        raise ConfigError(f"--checkpoint {folder}: no .safetensors or .bin weights in this folder")
    return " ".join(sha256_of(str(file))[:16] for file in weights)


@dataclass(frozen=True)
class _Work:
    """The batches of a cell that one process answers."""

    cell: Cell
    batches: tuple[tuple[int, ...], ...]


def answer_cells(cells: Sequence[Cell], checkpoint: str, *, workers: int = 1, device: str = "auto") -> None:
    """Answer what is not answered yet; every answer is on disk when this returns.

    workers: processes; each takes every workers-th batch, so the answers do not depend on their number.
    """
    if workers < 1:
        raise ConfigError(f"--workers {workers}: expected at least 1")
    remaining = {cell: batches for cell in cells if (batches := _remaining(cell))}
    if not remaining:
        return
    for cell in remaining:
        _ = cell.demonstrations  # vectors are computed once, here, not by every worker
    if workers == 1:
        _work([_Work(cell, batches) for cell, batches in remaining.items()], checkpoint, 0, device)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = []
        for rank in range(workers):
            # A new Cell travels, without the questions that this process has read.
            own = [_Work(replace(cell), batches[rank::workers]) for cell, batches in remaining.items()]
            futures.append(pool.submit(_work, own, checkpoint, rank, device))
        problems = [error for future in futures if (error := future.exception()) is not None]
    if problems:
        if isinstance(problems[0], InfiMMError):
            raise problems[0]
        raise InfiMMError(f"{len(problems)} of {workers} workers failed: {problems[0]!r}") from problems[0]


def _remaining(cell: Cell) -> tuple[tuple[int, ...], ...]:
    """Return the batches of which at least one question is not answered."""
    done = cell.answers().keys()
    return tuple(batch for batch in cell.batches() if any(cell.questions[i].id not in done for i in batch))


def _work(works: Sequence[_Work], checkpoint: str, rank: int, device: str) -> None:
    answerer = load_answerer(checkpoint, _device(device, rank))
    for work in works:
        cell = work.cell
        torch.set_num_threads(cell.recipe.threads)
        place = Path(cell.folder) / "answers" / f"{rank:05d}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        name = f"{cell.recipe.task} {cell.shots}-shot"
        with place.open("a", encoding="utf-8") as file, Track(name, len(work.batches), unit="batches") as track:
            if file.tell():
                file.write("\n")  # ends a line that a crash may have left half written
            answered, empty = 0, 0
            for batch in work.batches:
                for number, answer in zip(batch, answerer.answer(cell, batch), strict=True):
                    answered, empty = answered + 1, empty + (not answer.answer)
                    record = {"id": cell.questions[number].id, **asdict(answer)}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
                track.advance(note=f"{100 * empty / answered:.1f} % without an answer" if empty else "")


def _device(device: str, rank: int) -> str:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError("--device cuda: no GPU here; use --device cpu")
    return f"cuda:{rank % torch.cuda.device_count()}"
