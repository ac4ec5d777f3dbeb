"""What is many times in a build: clusters of near-identical documents, and the pictures that most pages show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document, short_url
from pipelines.report_page.charts import Charts
from pipelines.report_page.page import Markup, counted, escaped, joined, paragraph
from pipelines.report_page.samples import Album, badge
from pipelines.study import Study

CLUSTERS, MEMBERS = 4, 3  # shown of each step; of each cluster
EXCERPT = 240  # characters of a document
PICTURES = 12

Rows = npt.NDArray[np.int64]


def clusters(study: Study, measure: str) -> list[Rows]:
    """Return the groups that a step found, as rows of documents; the largest first, then by their first row."""
    groups = study.facts.document_groups(measure)
    rows = np.flatnonzero(groups >= 0)
    ordered = rows[np.argsort(groups[rows], kind="stable")]
    parts = np.split(ordered, np.flatnonzero(np.diff(groups[ordered])) + 1) if len(ordered) else []
    return sorted(parts, key=lambda part: (-len(part), int(part[0])))


def duplicate_texts(study: Study, charts: Charts) -> Markup:
    """Return for each comparing step how large its clusters are, and the largest of them side by side."""
    names = [name for name in study.facts.documents.column_names if name.endswith("_group")]
    parts: list[str] = []
    for name in names:
        found = clusters(study, name)
        step = name.removesuffix("_group")
        if not found:
            parts.append(paragraph(f"{step}: no two documents are alike."))
            continue
        in_all = sum(map(len, found))
        parts.append(f"<h3>{escaped(step)}: {counted(in_all, 'document')} in {counted(len(found), 'cluster')}</h3>")
        sizes = np.array([len(rows) for rows in found], dtype=np.float64)
        chart = charts.histogram(f"{step}: documents per cluster", sizes, np.ones(len(sizes), dtype=bool))
        parts.append(f'<div class="grid">{chart}</div>')
        parts += [_cluster(study, rows) for rows in found[:CLUSTERS]]
    return joined(parts) if parts else paragraph("The recipe compares no documents.", kind="muted")


def _cluster(study: Study, rows: Rows) -> str:
    """Return the first members of a cluster beside each other, the kept one in front; "" after a takedown of all."""
    rows = np.array([row for row in rows.tolist() if not study.is_taken_down("document", row)], dtype=np.int64)
    if not len(rows):
        return ""
    is_kept = study.decisions.documents.kept[rows]
    shown = rows[np.argsort(~is_kept, kind="stable")][:MEMBERS].tolist()
    cards = "".join(
        f'<div>{badge(study.verdict("document", row))}<p class="muted"><bdi>{_address(found)}</bdi></p>'
        f"{paragraph(_excerpt(found.text))}</div>"
        for row, found in zip(shown, study.documents(shown), strict=True)
    )
    return f'<p class="muted">a cluster of {len(rows):,}</p><div class="pair">{cards}</div>'


def _address(document: Document) -> Markup:
    return escaped(short_url(document.origin.url))


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"


def frequent_pictures(study: Study, album: Album) -> Markup:
    """Return the pictures that most documents show, each once, with their counts."""
    images = study.facts.images
    if "image_documents" not in images.column_names:
        return paragraph("The recipe compares no images.", kind="muted")
    counts = np.asarray(study.facts.image_column("image_documents"), dtype=np.float64)
    often = np.flatnonzero(counts > 1)
    order = often[np.lexsort((often, -counts[often]))]
    rows = study.distinct_pictures(order.tolist(), PICTURES)
    if not rows:
        return paragraph("No picture is in two documents.", kind="muted")
    items = []
    for row in rows:
        verdict = study.verdict("image", row)
        what = f"in {counted(int(counts[row]), 'document')}, {verdict.text}"
        kind = "kept" if verdict.is_kept else "dropped"
        items.append(f'<li class="{kind}">{album.picture(row, what)}{escaped(what)}</li>')
    return Markup(f'<ul class="strip">{"".join(items)}</ul>')
