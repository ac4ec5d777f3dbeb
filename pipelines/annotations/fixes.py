"""What is wrong with a conversation, and the changes that mend it without a doubt about what was meant.

| reason | found | the safe change |
|---|---|---|
| turn_order | it starts with an answer, or ends with a question | that turn goes |
| turn_order | one speaker has two turns in a row | they become one |
| empty_answer | an answer without a text | it goes with its question |
| no_placeholder | images, but no place for them | they come before the first question, as in LLaVA's own rows |

Everything else (more or fewer placeholders than images, a name that leads out of the folder) has no safe change: the
row is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.annotations.conversations import (
    PLACEHOLDER,
    ROLES,
    WHAT,
    WHO,
    NotAConversation,
    first_key,
    image_names,
    read_conversation,
    turns_of,
)

ONLY_FIXED = frozenset(("empty_answer", "no_answer", "repeated_row"))
"""Reasons for which a row is left out when rows are mended, and read as it stands when they are not."""


def fix_row(row: Any, placeholder: str = PLACEHOLDER) -> list[tuple[str, str]]:
    """Change a row in place where that is safe; return (reason, what was done) for each change.

    Raises NotAConversation when the row is none, or when no answer is left of it.
    """
    read_conversation(row, placeholder)  # a row that cannot be read is not touched
    _, turns = turns_of(row)
    done = [*_empty_answers(turns), *_ends(turns), *_repeated_speakers(turns)]
    if not any(_role(turn) == "assistant" for turn in turns):
        reason = "empty_answer" if any(found == "empty_answer" for found, _ in done) else "no_answer"
        raise NotAConversation(reason, "; ".join(what for _, what in done) or "no turn of the assistant")
    return [*done, *_placeholders(row, turns, placeholder)]


def _role(turn: Any) -> str:
    return ROLES[turn[first_key(turn, WHO)]]


def _text(turn: Any) -> str | None:
    """Return the text of a turn; None where it is a list of parts, which is left as it is."""
    content = turn[first_key(turn, WHAT)]
    return content if isinstance(content, str) else None


def _ends(turns: list[Any]) -> Iterator[tuple[str, str]]:
    """Remove answers before the first question (as LLaVA's own training does) and questions after the last answer."""
    start = 0
    while start < len(turns) and _role(turns[start]) == "system":
        start += 1
    first = start
    while first < len(turns) and _role(turns[first]) == "assistant":
        first += 1
    if first > start:
        del turns[start:first]
        yield "turn_order", f"starts with an answer: {first - start} turns removed"
    last = len(turns)
    while last > start and _role(turns[last - 1]) != "assistant":
        last -= 1
    if last < len(turns):
        removed = len(turns) - last
        del turns[last:]
        yield "turn_order", f"ends without an answer: {removed} turns removed"


def _empty_answers(turns: list[Any]) -> Iterator[tuple[str, str]]:
    number = 0
    while number < len(turns):
        text = _text(turns[number])
        if _role(turns[number]) != "assistant" or text is None or text.strip():
            number += 1
            continue
        start = number
        while start and _role(turns[start - 1]) == "user":
            start -= 1
        removed = number + 1 - start
        del turns[start : number + 1]
        number = start
        yield "empty_answer", f"answer without a text: {removed} turns removed"


def _repeated_speakers(turns: list[Any]) -> Iterator[tuple[str, str]]:
    number = 1
    while number < len(turns):
        before, here = turns[number - 1], turns[number]
        texts = (_text(before), _text(here))
        if _role(before) != _role(here) or texts[0] is None or texts[1] is None:
            number += 1
            continue
        before[first_key(before, WHAT)] = f"{texts[0]}\n\n{texts[1]}"
        del turns[number]
        yield "turn_order", f"two turns of the {_role(before)} in a row: made one"


def _placeholders(row: Any, turns: list[Any], placeholder: str) -> Iterator[tuple[str, str]]:
    images = image_names(row)
    if not images or read_conversation(row, placeholder).num_placeholders:
        return
    for turn in turns:
        text = _text(turn)
        if _role(turn) == "user" and text is not None:
            turn[first_key(turn, WHAT)] = f"{placeholder}\n" * len(images) + text
            yield "no_placeholder", f"{len(images)} images put before the first question"
            return
