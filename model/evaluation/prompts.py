"""Templates, questions and pictures into the tokens that a model reads.

Special tokens come from the template alone: what looks like one in a question is text. Only MMMU's `<image N>`
inside a question is a place for its N-th picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from infimm_data.stream.tokens import Vocabulary
from model.evaluation.metrics.choices import LETTERS
from model.evaluation.tasks.contract import Picture, Question
from model.generate import Prompt

IMAGE, END_OF_CHUNK, END = "<image>", "<|endofchunk|>", "</s>"
_SPECIAL = re.compile(r"((?:<\|endofchunk\|>)?<image>|<\|endofchunk\|>|</s>)")
_FIELD = re.compile(r"\{(question|options|hint|answer)\}")
_OPTIONAL = re.compile(r"\{(options|hint)\}")
_PLACE = re.compile(r"<image (\d+)>")


@dataclass(frozen=True)
class Special:
    """A special token other than `<image>`: END_OF_CHUNK or END."""

    token: str


Piece = str | Special | Picture


def render(template: str, question: Question, *, answer: str = "", with_pictures: bool = True) -> list[Piece]:
    """Return a template filled in: texts, special tokens and pictures in order.

    A line of text with {options} or {hint} is left out where the question has none. `<image>` stands for all
    pictures that the question's text does not place itself, several with `<|endofchunk|>` between them; where the
    template has that token right before `<image>` too, it stands before every picture (InfiMM's chat form).
    """
    options = "\n".join(f"{LETTERS[i]}. {text}" for i, text in enumerate(question.options))
    fields = {"question": question.text, "options": options, "hint": question.hint, "answer": answer}
    placed = {int(number) for number in _PLACE.findall(question.text + options)}
    first = [picture for number, picture in enumerate(question.pictures, start=1) if number not in placed]
    pieces: list[Piece] = []
    for part in _SPECIAL.split(template):
        if part.endswith(IMAGE):
            for number, picture in enumerate(first if with_pictures else ()):
                pieces += [Special(END_OF_CHUNK), picture] if number or part != IMAGE else [picture]
        elif part in (END_OF_CHUNK, END):
            pieces.append(Special(part))
        else:
            lines = [line for line in part.split("\n") if all(fields[name] for name in _OPTIONAL.findall(line))]
            text = _FIELD.sub(lambda match: fields[match[1]], "\n".join(lines))
            before = [Special(END_OF_CHUNK)] if END_OF_CHUNK + IMAGE in template else []
            pieces += _with_places(text, question.pictures if with_pictures else (), before)
    return [piece for piece in pieces if piece != ""]


def _with_places(text: str, pictures: Sequence[Picture], before: Sequence[Piece]) -> list[Piece]:
    """Return the text with its `<image N>` replaced by the pictures; a place without a picture stays text."""
    found: list[Piece] = []
    end = 0
    for match in _PLACE.finditer(text):
        number = int(match[1])
        if 1 <= number <= len(pictures):
            found += [text[end : match.start()], *before, pictures[number - 1]]
            end = match.end()
    return [*found, text[end:]]


def to_prompt(pieces: Sequence[Piece], vocabulary: Vocabulary, pixels_of: Callable[[Picture], Tensor]) -> Prompt:
    """Return `<s>` and the pieces as tokens; pixels_of: a picture as the vision tower takes it."""
    ids, images, text = [vocabulary.bos], [], ""
    for piece in [*pieces, None]:
        if isinstance(piece, str):
            text += piece  # texts that touch are one text to the tokenizer
            continue
        ids += vocabulary.encode(text)[0] if text else []
        text = ""
        if isinstance(piece, Special):
            ids.append(vocabulary.end_of_chunk if piece.token == END_OF_CHUNK else vocabulary.eos)
        elif piece is not None:
            ids.append(vocabulary.image)
            images.append(pixels_of(piece))
    return Prompt(tuple(ids), tuple(images))


def to_text(pieces: Sequence[Piece]) -> str:
    """Return the pieces as people read them, pictures as `<image>`."""
    return "".join(
        piece if isinstance(piece, str) else piece.token if isinstance(piece, Special) else IMAGE for piece in pieces
    )
