"""Which option an answer names: the rules of ScienceQA (as LLaVA reads them), MMBench and MMMU, none of them guessing.

Each returns None where nothing can be read; whether that is wrong, or a guess, or a question to a judge is for the
caller to say and to count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SCIENCE_QA = "ABCDE"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def science_qa_choice(answer: str, num_choices: int) -> int | None:
    """Return the index of the option: a letter alone, "B. ...", or "The answer is B." said exactly once.

    To the letter as LLaVA's evaluation reads: nothing is stripped, and a sign must follow the letter of a sentence.
    """
    said = re.findall(r"The answer is ([A-Z]).", answer)
    if answer in tuple(_SCIENCE_QA):
        letter = answer
    elif len(answer) >= 3 and answer[0] in _SCIENCE_QA and answer[1:3] == ". ":
        letter = answer[0]
    elif len(said) == 1:
        letter = said[0]
    else:
        return None
    index = _SCIENCE_QA.find(letter)
    return index if 0 <= index < num_choices else None


def mmbench_choice(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter: the only option letter that stands alone, else the only option whose text is in the answer.

    "Z" is an answer that refuses. As VLMEvalKit's matching does before it asks a model.
    """
    if any(refusal in answer for refusal in _REFUSALS):
        return "Z"
    pieces = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
    named = [letter for letter in options if letter in pieces]
    if len(named) == 1:
        return named[0]
    if not named and "Z" in pieces:
        return "Z"
    lower = answer.lower()
    if len(lower) > 2 * sum(len(str(text)) for text in options.values()):
        return None
    said = [letter for letter, text in options.items() if str(text).lower() in lower]
    return said[0] if len(said) == 1 else None


def mmmu_choice(answer: str, letters: Sequence[str], options: Mapping[str, str]) -> str | None:
    """Return the letter named last: "(B)", else " B ", else in answers of more than five words the option's text."""
    for mark in ",.!?;:'":
        answer = answer.strip(mark)
    text = f" {answer} "
    for form in ("({})", " {} "):
        places = {letter: text.rfind(form.format(letter)) for letter in letters}
        if max(places.values(), default=-1) >= 0:
            return max(places, key=lambda letter: places[letter])
    if len(text.split()) <= 5:
        return None
    places = {letter: text.lower().rfind(option.lower()) for letter, option in options.items()}
    return max(places, key=lambda letter: places[letter]) if max(places.values(), default=-1) >= 0 else None
