"""Values of a dump's table as what they mean, whatever type a release stores them in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from infimm_data.document import Measure

MAX_SLUG_CHARACTERS = 128  # of a measure that is a text: a label or a hash, never a caption


class BadValue(Exception):  # noqa: N818  # an answer about a row, not an error of the run
    """A value that cannot mean what its column says; `reason` is "wrong_type" or "not_utf8"."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """reason: a slug for the funnel."""
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def first_of(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the value of the first of these columns that the row has; None where it has none."""
    return next((row[name] for name in names if name in row), None)


def as_text(value: Any) -> str:
    """Return a text without blanks around it; "" for None and NaN. Raises BadValue on anything else."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise BadValue("not_utf8", repr(value[:80])) from None
    if not isinstance(value, str):
        raise BadValue("wrong_type", f"found {type(value).__name__} {repr(value)[:80]}, expected a text")
    return value.strip()


def as_number(value: Any) -> float | None:
    """Return a finite number as float; None for anything else, `true` included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e308 < value < 1e308 else None  # not NaN, not infinite, not an integer beyond any float


def loose_number(value: Any) -> float | int | None:
    """Return what a column of numbers means in any type: "0.5" and `true` are numbers, a list its largest."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        numbers = [number for one in value if (number := loose_number(one)) is not None]
        return max(numbers, default=None)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str | Decimal):
        try:
            value = float(value)
        except ValueError:
            return None
    return None if as_number(value) is None else value


def as_pixels(value: Any) -> int | None:
    """Return a width or height (LAION stores int32 in some releases, float64 in others); None where it is none."""
    number = loose_number(value)
    return int(number) if number is not None and 1 <= number < 1 << 31 else None


def as_slug(value: Any) -> str | None:
    """Return a label; None where it is no short text. A whole number is its digits: ids come as either."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 64 else None
    try:
        text = as_text(value)
    except BadValue:
        return None
    return text if 0 < len(text) <= MAX_SLUG_CHARACTERS else None


def stored_measures(row: Mapping[str, Any], numbers: Iterable[str], slugs: Iterable[str]) -> dict[str, Measure]:
    """Return what the row says under these names; a name that the row does not have is left out."""
    found: dict[str, Measure] = {name: loose_number(row[name]) for name in numbers if name in row}
    return found | {name: as_slug(row[name]) for name in slugs if name in row}
