"""MMMU's open questions (Yue et al. 2024): is the reference among the key phrases and numbers of an answer?"""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)  # with thousands; scientific; plain


def is_right(answer: str, references: Sequence[str]) -> bool:
    """Return whether a reference stands in a key phrase of the answer, or equals one of its numbers to 2 decimals."""
    wanted = [form for reference in references for form in _forms(reference)]
    phrases = _key_phrases(answer)
    numbers = [number for phrase in phrases for pattern in _NUMBERS for number in pattern.findall(phrase)]
    for said in (form for text in (*phrases, *numbers) for form in _forms(text)):
        if isinstance(said, float):
            if said in wanted:
                return True
        elif any(isinstance(form, str) and form in said for form in wanted):
            return True
    return False


def _key_phrases(answer: str) -> list[str]:
    """Return what follows "is", "answer", ... in each line (in the last also "="), or the answer where nothing does."""
    whole = answer.strip().strip(".").lower()
    lines = whole.split("\n")
    found = []
    for number, line in enumerate(lines):
        keys = (*_KEYS, "=") if number == len(lines) - 1 else _KEYS
        shortest = ""
        for tail in (line.split(key)[-1].strip() for key in keys if key in line):
            if not shortest or len(tail) < len(shortest):
                shortest = tail
        if shortest and shortest not in _TRIVIAL:
            found.append(shortest)
    return found or [whole]


def _forms(text: str) -> list[str | float]:
    """Return a number as a float, else the text in lower case; one letter only with a space beside it."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lower = text.lower()
        return [f" {lower}", f"{lower} "] if len(lower) == 1 else [lower]
