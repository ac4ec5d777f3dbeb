"""What scoring gives: one number in the scale of the published tables, its interval, and what each question got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.evaluation.intervals import METHOD, Interval


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question. points: 0 to 1, or the metric's own scale for captions; facts: what led there, plain data."""

    points: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """score: as the published tables print it; count: questions; metrics: further figures; items: by question id."""

    task: str
    score: float
    interval: Interval | None
    count: int
    metrics: Mapping[str, Any]
    items: Mapping[str, Item]

    def as_json(self) -> dict[str, Any]:
        """Return what `infimm eval` prints."""
        return {
            "task": self.task,
            "score": self.score,
            "interval": None if self.interval is None else list(self.interval),
            "interval_method": METHOD,
            "count": self.count,
            **self.metrics,
        }

    def items_json(self) -> dict[str, Any]:
        """Return points and facts by question id."""
        return {key: {"points": item.points, **item.facts} for key, item in self.items.items()}
