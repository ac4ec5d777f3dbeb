"""The report of a build: OUT/report/index.html, from what the build left, the same bytes for the same result."""

from __future__ import annotations

from typing import Any

import numpy as np

from infimm_data.errors import ConfigError
from infimm_data.files import write_bytes
from infimm_data.shards import read_index
from pipelines.layout import Layout
from pipelines.report import funnel_or_none
from pipelines.report_page.charts import Charts
from pipelines.report_page.duplicates import duplicate_texts, frequent_pictures
from pipelines.report_page.flow import flow, reasons, stretches
from pipelines.report_page.measures import measures
from pipelines.report_page.origins import fetch_failures, sites_languages_licences
from pipelines.report_page.page import Markup, Section, counted, escaped, joined, page, paragraph, ranked
from pipelines.report_page.provenance import provenance, throughput
from pipelines.report_page.samples import Album, at_thresholds, dropped_documents, kept_documents
from pipelines.stored import where_a_build_is
from pipelines.study import Study, load_study

TOKENS_PER_WORD = 4 / 3  # of English: "1 token ~ 3/4 words" (OpenAI's help page on tokens); an estimate, and said to be


def write_build_page(layout: Layout) -> str:
    """Write the page and return where it lies; raises ConfigError where there is no build that decided."""
    funnel = funnel_or_none(layout)
    if funnel is None:
        raise ConfigError(f"{layout.out}: no report/funnel.json there; {where_a_build_is(layout.out)}")
    path = layout.report("index.html")
    write_bytes(path, build_page(load_study(layout), funnel))
    return path


def build_page(study: Study, funnel: dict[str, Any]) -> bytes:
    """Return the page of a build. funnel: the stored one, whose counts the page and the terminal share."""
    charts, album = Charts(), Album(study)
    sections = [
        Section("flow", "Where documents and images went", _flows(funnel)),
        Section(
            "reasons", "Why something was dropped", ranked(reasons(funnel), caption="Dropped, by reason", is_lost=True)
        ),
        Section("documents", "Measures of documents", measures(study, charts, "document")),
        Section("images", "Measures of images", measures(study, charts, "image")),
        Section("sizes", "Images and tokens per kept document", _sizes(study, charts)),
        Section("thresholds", "Pictures at the thresholds", at_thresholds(study, album)),
        Section("kept", "Kept documents", kept_documents(study, album)),
        Section("dropped", "Dropped documents", dropped_documents(study, album)),
        Section("duplicates", "Documents that are alike", duplicate_texts(study, charts)),
        Section("pictures", "Pictures on many pages", frequent_pictures(study, album)),
        Section("sites", "Sites, languages and licences", sites_languages_licences(study)),
        Section("failures", "Images that could not be had", fetch_failures(study)),
        Section("passes", "Time of each pass", throughput(study.layout, funnel)),
        Section("provenance", "How this came about", provenance(study)),
    ]
    name = study.recipe.source_kind
    return page(f"Dataset from {name}", _lead(funnel), sections, style=charts.style)


def _lead(funnel: dict[str, Any]) -> Markup:
    documents, images, shards = funnel["documents"], funnel["images"], funnel["shards"]
    facts = [
        ("documents kept", f"{documents['kept']:,} of {documents['in']:,}"),
        ("images kept", f"{images['kept']:,} of {images['in']:,}"),
        ("shards", "not packed" if shards is None else f"{shards['count']:,}"),
        ("size", "" if shards is None else f"{shards['bytes'] / 1e6:,.1f} MB"),
    ]
    return facts_list([pair for pair in facts if pair[1]])


def facts_list(facts: list[tuple[str, str]]) -> Markup:
    """Return the few numbers that stand first on a page."""
    inside = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts)
    return Markup(f'<dl class="facts">{inside}</dl>')


def _flows(funnel: dict[str, Any]) -> Markup:
    dump = funnel["dump"]
    records = sum(dump["skipped"].values())
    named = ", ".join(f"{reason} {number:,}" for reason, number in dump["skipped"].items())
    none = f"; {counted(records, 'record')} became none ({named})" if records else ""
    items = counted(dump["work_items"], "work item")
    start = f"{counted(dump['documents'], 'document')} in {items} of the dump{none}"
    images = f"{counted(funnel['images']['in'], 'image')} in these documents"
    return joined(
        (
            flow("Documents", stretches(funnel, "document"), start=start),
            flow("Images", stretches(funnel, "image"), start=images),
        )
    )


def _sizes(study: Study, charts: Charts) -> Markup:
    """Return how many images and words the packed documents have, and how many tokens that is about."""
    places = [place for shard in study.shards for place in read_index(study.layout.shards, shard)]
    if not places:
        return paragraph("Nothing is packed.", kind="muted")
    images = np.array([place.num_images for place in places], dtype=np.float64)
    tokens = np.array([place.num_words for place in places]) * TOKENS_PER_WORD
    everything = np.ones(len(places), dtype=bool)
    shown = (
        charts.histogram("images per document", images, everything),
        charts.histogram("tokens per document, estimated as 4 for 3 words", tokens, everything),
    )
    said = (
        f"In all {counted(int(images.sum()), 'image')} and about {int(tokens.sum()):,} tokens. Tokens are estimated, "
        "four for every three words: shards hold text, and each training recipe names its own tokenizer."
    )
    return Markup(f'{paragraph(said)}<div class="grid">{joined(shown)}</div>')
