"""Where documents and images come from: sites, licences, and which hosts did not give what was asked, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.files import exists
from infimm_data.tables import read_table
from pipelines.report_page.flow import most_first
from pipelines.report_page.measures import LANGUAGE, by_value, words_chart
from pipelines.report_page.page import Markup, counted, joined, paragraph, ranked, table
from pipelines.study import Study

SHOWN = 20
HOSTS = 8  # of one cause
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[^/?#:]+)"


def sites_languages_licences(study: Study) -> Markup:
    """Return the sites, languages and licences of all documents; URLs are read one work item at a time."""
    found: dict[str, Counter[tuple[str, bool]]] = {"host": Counter(), "licence": Counter()}
    for place, item in enumerate(study.facts.items):
        origins = read_table(study.layout.documents(item), columns=["url", "licence"])
        here = np.flatnonzero(study.facts.document_item == place)
        kept = study.decisions.documents.kept[here]
        columns = {"host": hosts(origins.column("url")), "licence": origins.column("licence")}
        for name, column in columns.items():
            for text, total, alive in by_value(column, kept):
                found[name][text, True] += alive
                found[name][text, False] += total - alive
    sites, licences = (_rows(found[name]) for name in ("host", "licence"))
    lists = [ranked(most_first(sites, SHOWN), caption=counted(len(sites), "site"))]
    notes = []
    if LANGUAGE in study.facts.documents.column_names:
        spoken, kept = study.facts.documents.column(LANGUAGE), study.decisions.documents.kept
        lists.append(words_chart(LANGUAGE, spoken, kept, study.recipe.steps))
    else:
        notes.append("Languages were not measured: no step of the recipe asks.")
    if any(name for name, _, _ in licences):
        named = [(name or "none stated", total, alive) for name, total, alive in licences]
        lists.append(ranked(most_first(named, SHOWN), caption="Licences as the pages state them"))
    else:
        notes.append("No document states a licence.")
    said = joined(paragraph(note, kind="muted") for note in notes)
    return Markup(f'<div class="grid">{joined(lists)}</div>{said}')


def _rows(found: Counter[tuple[str, bool]]) -> list[tuple[str, int, int]]:
    names = dict.fromkeys(name for name, _ in found)
    return [(name, found[name, True] + found[name, False], found[name, True]) for name in names]


def hosts(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the host of each URL, "(no host)" where it has none."""
    found = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
    return pc.utf8_lower(pc.fill_null(found, "(no host)"))


def fetch_failures(study: Study) -> Markup:
    """Return why images could not be had, and the hosts that each cause is most of."""
    causes: Counter[str] = Counter()
    by_host: Counter[tuple[str, str]] = Counter()
    for item in study.facts.items:
        if not exists(study.layout.images(item)):
            continue
        fetched = read_table(study.layout.images(item), columns=["url", "status"])
        if not fetched.num_rows:
            continue
        failed = fetched.filter(pc.not_equal(fetched.column("status"), "ok"))
        pairs = pa.table({"status": failed.column("status"), "host": hosts(failed.column("url"))})
        for row in pairs.group_by(["status", "host"]).aggregate([([], "count_all")]).to_pylist():
            causes[row["status"]] += row["count_all"]
            by_host[row["status"], row["host"]] += row["count_all"]
    if not causes:
        return paragraph("Every image that was asked for came.", kind="muted")
    rows = []
    for cause, total in sorted(causes.items(), key=lambda pair: (-pair[1], pair[0])):
        own = sorted((-number, host) for (status, host), number in by_host.items() if status == cause)
        named = ", ".join(f"{host} {-number:,}" for number, host in own[:HOSTS])
        rows.append((cause, total, len(own), named + (", ..." if len(own) > HOSTS else "")))
    return table(
        ("cause", "images", "hosts", "most from"), rows, caption="Images that could not be had, by cause and host"
    )
