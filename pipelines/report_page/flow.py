"""The funnel as a flow: how wide the stream is before and after each step, and what leaves it there, by reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipelines.report_page.page import Markup, escaped, joined

_HEIGHT = 40  # of one stretch of the stream, in units of its drawing; the page stretches it


@dataclass(frozen=True)
class Loss:
    """What one reason took; threshold: what was asked, "" where there is none."""

    reason: str
    dropped: int
    threshold: str = ""


@dataclass(frozen=True)
class Stretch:
    """One step of the flow: how many came in, and what it took."""

    name: str
    came_in: int
    losses: tuple[Loss, ...]

    @property
    def left(self) -> int:
        """How many go on."""
        return self.came_in - sum(loss.dropped for loss in self.losses)


def stretches(funnel: Mapping[str, Any], level: str) -> list[Stretch]:
    """Return the flow of documents or images through the steps of a funnel, those that took nothing included."""
    lines = [line for line in funnel["steps"] if line["level"] == level]
    found = []
    left = int(funnel[f"{level}s"]["in"])
    for name, rules in groupby(lines, key=lambda line: line["step"]):
        losses = tuple(Loss(rule["reason"], rule["dropped"], rule["threshold"]) for rule in rules if rule["dropped"])
        came_in = left - _lost_beside(lines, name, left)
        if came_in < left:
            found.append(Stretch("with their document", left, (Loss("document_dropped", left - came_in),)))
        found.append(Stretch(name, came_in, losses))
        left = found[-1].left
    kept = int(funnel[f"{level}s"]["kept"])
    if kept < left:
        found.append(Stretch("with their document", left, (Loss("document_dropped", left - kept),)))
    return found


def _lost_beside(lines: Sequence[Mapping[str, Any]], name: str, left: int) -> int:
    """Return how many left between steps: images whose document was dropped since the last step that saw images."""
    came_in = next(int(line["came_in"]) for line in lines if line["step"] == name)
    return left - came_in


def flow(title: str, found: Sequence[Stretch], *, start: str) -> Markup:
    """Return the flow as a list that is drawn. start: what the stream is before the first step."""
    whole = max((one.came_in for one in found), default=0) or 1
    lines = [_line(one, whole) for one in found]
    return Markup(f"<h3>{escaped(title)}</h3>\n<p>{escaped(start)}</p>\n<ol class=flow>{joined(lines)}</ol>")


def _line(one: Stretch, whole: int) -> str:
    before, after = (100 * number / whole for number in (one.came_in, one.left))
    drawing = (
        f'<svg viewBox="0 0 100 {_HEIGHT}" shape-rendering="crispEdges" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="kept" width="{after:.3f}" height="{_HEIGHT}"/>'
        f'<path class="lost" d="M{after:.3f} 0H{before:.3f}L{after:.3f} {_HEIGHT}Z"/></svg>'
    )
    losses = "".join(_loss(loss, one.came_in) for loss in sorted(one.losses, key=lambda loss: -loss.dropped))
    counts = f'<span class="count">{one.came_in:,} → {one.left:,}</span>'
    return f'<li>{drawing}<div class="what"><b>{escaped(one.name)}</b> {counts}<ul>{losses}</ul></div></li>'


def _loss(loss: Loss, came_in: int) -> str:
    threshold = f" (threshold {loss.threshold})" if loss.threshold not in ("", "ok") else ""
    share = f"{100 * loss.dropped / max(came_in, 1):.1f} %"
    what = f"{loss.reason}{threshold}, {share}"
    return f'<li><span class="loss">−{loss.dropped:,}</span> {escaped(what)}</li>'


def reasons(funnel: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Return every reason with how much it dropped, most first: records, text inside documents, documents, images."""
    skipped = [(f"{reason} (record)", number, 0) for reason, number in funnel["dump"]["skipped"].items()]
    edited = [
        (f"{reason} ({step}, part of a text)", number, 0)
        for step, found in funnel["dump"].get("edited", {}).items()
        for reason, number in found.items()
    ]
    dropped = [
        (f"{line['reason']} ({line['level']})", line["dropped"], 0) for line in funnel["steps"] if line["dropped"]
    ]
    return sorted([*skipped, *edited, *dropped], key=_by_count)


def _by_count(row: tuple[str, int, int]) -> tuple[int, str]:
    return -row[1], row[0]


def most_first(rows: Iterable[tuple[str, int, int]], at_most: int) -> list[tuple[str, int, int]]:
    """Return the longest rows, and the rest of them as one."""
    ordered = sorted(rows, key=_by_count)
    rest = ordered[at_most:]
    if not rest:
        return ordered
    return [*ordered[:at_most], (f"{len(rest):,} others", sum(r[1] for r in rest), sum(r[2] for r in rest))]
