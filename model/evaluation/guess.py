"""Guesses for answers that name no option; only where a user asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def guessed(key: str, options: Sequence[T], seed: int | None) -> T | None:
    """Return an option drawn from seed and question id alone, or None without a seed or options."""
    if seed is None or not options:
        return None
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]
