"""Documents as a reader would see them, kept and dropped, with small pictures in place and what became of each.

Ids are hashes of where a document comes from, so the smallest ids are a sample at random that no run changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.document import Document, TextNode, short_url
from infimm_data.rules import AtLeast, AtMost
from pipelines.facts import PURGED
from pipelines.passes.verdicts import StepCount, shown
from pipelines.report_page.page import Markup, counted, escaped, joined, paragraph
from pipelines.study import Study, Verdict
from pipelines.thumbnails import data_uri, thumbnail

KEPT_SHOWN, DROPPED_SHOWN = 12, 2  # documents; dropped ones of each reason
AT_THRESHOLD = 6  # pictures on either side of it
MOST_CHARACTERS, MOST_PICTURES = 1_500, 6  # of one document
SIDE = 160  # pixels of a picture's longer side
BUDGET_BYTES = 3_000_000  # of all pictures of the page as `data:` URIs, so that a phone loads it

Rows = npt.NDArray[np.int64]


@dataclass
class Album:
    """The pictures of one page, within its budget; a picture that is shown twice costs twice."""

    study: Study
    left: int = BUDGET_BYTES
    _known: dict[int, str | None] = field(default_factory=dict)

    def picture(self, row: int, alt: str) -> Markup:
        """Return the picture of an image row, or what stands for one that is not there."""
        if row not in self._known:
            data = self.study.picture(row)
            small = None if data is None else thumbnail(data, SIDE)
            self._known[row] = None if small is None else data_uri(small)
        uri = self._known[row]
        if uri is None:
            return Markup(f'<div class="nothing">{escaped(alt or "no picture")}</div>')
        if len(uri) > self.left:
            return Markup('<div class="nothing">left out: the page is large enough</div>')
        self.left -= len(uri)
        return Markup(f'<img src="{uri}" alt="{escaped(alt)}">')


def smallest_ids(study: Study, rows: Rows, count: int) -> list[int]:
    """Return the rows of the documents with the smallest ids, in that order."""
    if not len(rows):
        return []
    ids = study.facts.documents.column("id").take(pa.array(rows))
    best = pc.select_k_unstable(pa.table({"id": ids, "row": rows}), count, [("id", "ascending")])
    return [int(rows[at]) for at in best.to_pylist()]


def kept_documents(study: Study, album: Album) -> Markup:
    """Return some kept documents."""
    rows = smallest_ids(study, np.flatnonzero(study.decisions.documents.kept), KEPT_SHOWN)
    if not rows:
        return paragraph("No document is kept.", kind="muted")
    return joined(_document(study, album, row, found) for row, found in zip(rows, study.documents(rows), strict=True))


def dropped_documents(study: Study, album: Album) -> Markup:
    """Return some dropped documents of each reason."""
    found = []
    verdicts = study.decisions.documents
    for number, line in enumerate(study.decisions.funnel):
        if line.level == "document" and line.dropped and line.measure != PURGED:  # a takedown is not shown again
            rows = smallest_ids(study, verdicts.rows_of(number), DROPPED_SHOWN)
            asked = f" (threshold {line.threshold})" if line.threshold else ""
            found_here = zip(rows, study.documents(rows), strict=True)
            cards = joined(_document(study, album, row, document) for row, document in found_here)
            title = escaped(f"{line.reason}: {line.dropped:,}{asked}")
            found.append(f"<details><summary>{title}</summary>{cards}</details>")
    return joined(found) if found else paragraph("No document was dropped.", kind="muted")


def _document(study: Study, album: Album, row: int, document: Document) -> Markup:
    verdict = study.verdict("document", row)
    rows, left, shown_pictures = study.image_rows(row), MOST_CHARACTERS, 0
    parts = []
    for position, node in enumerate(document.nodes):
        if isinstance(node, TextNode):
            if left > 0 and node.text.strip():
                parts.append(paragraph(_said(node, left)))
                left -= len(node.text)
        elif position in rows:
            shown_pictures += 1
            if shown_pictures <= MOST_PICTURES:
                parts.append(figure(study, album, rows[position], study.verdict("image", rows[position])))
    if shown_pictures > MOST_PICTURES:
        parts.append(paragraph(f"and {counted(shown_pictures - MOST_PICTURES, 'more image')}", kind="muted"))
    origin = f"{short_url(document.origin.url)} {document.origin.date}"
    return Markup(
        f'<article class="document"><div class="muted"><bdi>{escaped(origin)}</bdi> {badge(verdict)}</div>'
        f"{joined(parts)}</article>"
    )


def _said(node: TextNode, left: int) -> str:
    """Return the text of a node, at most `left` characters of it."""
    said = f"{node.role}: {node.text}" if node.role else node.text
    return said if len(said) <= left else f"{said[:left]}…"


def badge(verdict: Verdict) -> Markup:
    """Return what became of something, as a label."""
    return Markup(f'<span class="badge {"kept" if verdict.is_kept else "dropped"}">{escaped(verdict.text)}</span>')


def figure(study: Study, album: Album, row: int, verdict: Verdict) -> Markup:
    """Return a picture with what became of it and its scores."""
    scores = " ".join(
        f"{name}={shown(value)}" for name, value in study.measures("image", row).items() if name.endswith("score")
    )
    kind = "kept" if verdict.is_kept else "dropped"
    caption = escaped(f"{verdict.text} {scores}")
    shown_picture = album.picture(row, "")  # its caption says what became of it
    return Markup(f'<figure class="{kind}">{shown_picture}<figcaption>{caption}</figcaption></figure>')


def at_thresholds(study: Study, album: Album) -> Markup:
    """Return for each numeric threshold of images the pictures just inside and just outside it."""
    found = []
    verdicts = study.decisions.images
    bounds = {
        (step.name, rule.reason): rule.bound
        for step in study.recipe.steps
        for rule in step.filter.rules()
        if isinstance(rule, AtLeast | AtMost)
    }
    for number, line in enumerate(study.decisions.funnel):
        bound = bounds.get((line.step, line.reason))
        if line.level != "image" or bound is None:
            continue
        outside = _nearest(study, line, verdicts.rows_of(number), bound)
        if outside:
            inside = _nearest(study, line, np.flatnonzero(verdicts.kept), bound)
            found.append(f"<h3>{escaped(f'{line.step}: {line.measure}, threshold {line.threshold}')}</h3>")
            found.append(_strip(album, "dropped", outside, line.measure))
            found.append(_strip(album, "kept", inside, line.measure))
    return joined(found) if found else paragraph("No threshold on images dropped any that was fetched.", kind="muted")


def _nearest(study: Study, line: StepCount, rows: Rows, bound: float) -> list[tuple[int, float]]:
    """Return different pictures that are there and measure nearest to the bound, nearest first, with their values."""
    values = np.asarray(study.facts.image_column(line.measure, is_optional=True), dtype=np.float64)[rows]
    known = np.isfinite(values)
    rows, values = rows[known], values[known]
    order = np.lexsort((rows, np.abs(values - bound)))
    measured = dict(zip(rows.tolist(), values.tolist(), strict=True))
    return [(row, measured[row]) for row in study.distinct_pictures(rows[order].tolist(), AT_THRESHOLD)]


def _strip(album: Album, kind: str, rows: list[tuple[int, float]], measure: str) -> str:
    items = "".join(
        f'<li class="{kind}">{album.picture(row, f"{kind}, {measure} {shown(value)}")}{escaped(shown(value))}</li>'
        for row, value in rows
    )
    return f'<p class="muted">{kind}, nearest to the threshold</p><ul class="strip">{items}</ul>'
