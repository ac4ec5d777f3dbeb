"""The pictures of the explanation of the token-level image mask, drawn by the code that packs."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path) -> None:
    """Draw the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
