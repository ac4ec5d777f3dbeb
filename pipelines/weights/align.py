"""Which blocks of a page its known content holds: the labels that the content model learns from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
GRAM = 4  # words in a row from which a match is no accident
ROUNDS = 6  # how often short blocks look at their neighbours; each round reaches one block further
IS_CONTENT = 0.5


def align(texts: Sequence[str], gold: str) -> list[float]:
    """Return per text the share of its words that stand in `gold`, in runs of four words or more.

    A text of fewer words counts as content where it stands in `gold` right beside what its neighbour says. Of
    equal texts no more count than `gold` holds, those among other content first.
    """
    blocks = [_WORD.findall(text.lower()) for text in texts]
    words = _WORD.findall(gold.lower())
    grams = set(zip(*(words[start:] for start in range(GRAM)), strict=False))
    line = f" {' '.join(words)} "
    shares = [_share(block, grams) for block in blocks]
    open_ones = [at for at, share in enumerate(shares) if share is None]
    for _ in range(ROUNDS):
        found = [at for at in open_ones if shares[at] is None and _is_beside_content(at, blocks, shares, line)]
        for at in found:
            shares[at] = 1.0
        if not found:
            break
    known = [share or 0.0 for share in shares]
    _drop_repeats(blocks, known, line)
    return known


def _share(block: list[str], grams: set[tuple[str, ...]]) -> float | None:
    """Return the share of words covered by matches, None where the block is too short to tell."""
    if not block:
        return 0.0
    if len(block) < GRAM:
        return None
    covered = bytearray(len(block))
    for at in range(len(block) - GRAM + 1):
        if tuple(block[at : at + GRAM]) in grams:
            covered[at : at + GRAM] = b"\1" * GRAM
    return sum(covered) / len(block)


def _is_beside_content(at: int, blocks: list[list[str]], shares: list[float | None], line: str) -> bool:
    before, after = _neighbour(blocks, at, -1), _neighbour(blocks, at, 1)
    if before is not None and (shares[before] or 0) >= IS_CONTENT and _run(blocks[before][-3:], blocks[at]) in line:
        return True
    if after is None:
        return False
    if (shares[after] or 0) >= IS_CONTENT and _run(blocks[at], blocks[after][:3]) in line:
        return True
    joined = blocks[at] + blocks[after]
    following = _neighbour(blocks, after, 1)
    if len(joined) <= GRAM and following is not None:
        joined += blocks[following][:3]
    return shares[after] is None and len(joined) >= GRAM and _run(joined) in line


def _neighbour(blocks: list[list[str]], at: int, step: int) -> int | None:
    """Return the next block with words in a direction."""
    at += step
    while 0 <= at < len(blocks) and not blocks[at]:
        at += step
    return at if 0 <= at < len(blocks) else None


def _run(*parts: list[str]) -> str:
    return f" {' '.join(word for part in parts for word in part)} "


def _drop_repeats(blocks: list[list[str]], shares: list[float], line: str) -> None:
    places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, block in enumerate(blocks):
        if shares[at] >= IS_CONTENT and len(block) >= GRAM - 1:
            places[tuple(block)].append(at)
    for repeated, found in places.items():
        count = line.count(_run(list(repeated))) if len(found) > 1 else 0
        if 0 < count < len(found):
            support = {at: sum(shares[max(0, at - 4) : at + 5]) - shares[at] for at in found}
            for at in sorted(found, key=lambda at: -support[at])[count:]:
                shares[at] = 0.0
