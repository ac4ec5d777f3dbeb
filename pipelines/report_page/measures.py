"""Every measure of a build as a histogram, what is kept and what is not, with the thresholds of the recipe in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.rules import AtLeast, AtMost, Level, Mask, OneOf
from pipelines.passes.verdicts import shown
from pipelines.recipe import Step
from pipelines.report_page.charts import Bound, Charts
from pipelines.report_page.flow import most_first
from pipelines.report_page.page import Markup, joined, ranked
from pipelines.study import NO_MEASURES, Study

MOST_VALUES = 12  # of a measure that is a word: languages, formats

NO_WORD = "(none)"  # stands for "", which cannot be seen

LANGUAGE = "language"
"""The measure that stands with the sites and licences."""

_SWATCHES = (("kept", "kept"), ("lost", "dropped, by any step"), ("bound", "threshold"))


def legend(level: Level) -> Markup:
    """Return what the colours of the histograms mean, and what their bars count."""
    items = "".join(
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{kind}" width="1" height="1"/></svg>{name}</li>'
        for kind, name in _SWATCHES
    )
    return Markup(f'<ul class="legend">{items}<li>height of a bar: {level}s</li></ul>')


def measures(study: Study, charts: Charts, level: Level) -> Markup:
    """Return a chart of each measure of documents or of images that has any value."""
    is_image = level == "image"
    table = study.facts.images if is_image else study.facts.documents
    kept = (study.decisions.images if is_image else study.decisions.documents).kept
    numbers, words = [], []
    for name in sorted(set(table.column_names) - NO_MEASURES - {LANGUAGE}):
        column = table.column(name)
        if pa.types.is_string(column.type) and not name.endswith("_group"):
            words.append(words_chart(name, column, kept, study.recipe.steps))
        elif not pa.types.is_string(column.type) and not pa.types.is_null(column.type):
            values = pc.cast(column, pa.float64()).to_numpy()
            numbers.append(charts.histogram(name, values, kept, bounds_of(study.recipe.steps, name)))
    return Markup(f'{legend(level)}<div class="grid">{joined(numbers)}</div><div class="grid">{joined(words)}</div>')


def bounds_of(steps: Sequence[Step], measure: str) -> list[Bound]:
    """Return the thresholds that a recipe sets on a measure."""
    sides = {AtLeast: "at least", AtMost: "at most"}
    rules = [rule for step in steps for rule in step.filter.rules() if rule.measure == measure]
    bounding = [rule for rule in rules if isinstance(rule, AtLeast | AtMost)]
    return [Bound(float(rule.bound), f"{sides[type(rule)]} {shown(rule.bound)}") for rule in bounding]


def words_chart(name: str, column: pa.ChunkedArray, kept: Mask, steps: Sequence[Step]) -> Markup:
    """Return how many rows hold each word of a measure, and which words the recipe keeps."""
    rules = [rule for step in steps for rule in step.filter.rules() if rule.measure == name]
    wanted = [", ".join(one or NO_WORD for one in rule.bound) for rule in rules if isinstance(rule, OneOf)]
    asked = f"; kept: {wanted[0]}" if wanted else ""
    rows = [(word or NO_WORD, total, alive) for word, total, alive in by_value(column, kept)]
    return ranked(most_first(rows, MOST_VALUES), caption=f"{name}{asked}")


def by_value(column: pa.ChunkedArray, kept: Mask) -> list[tuple[str, int, int]]:
    """Return every distinct text of a column with how many rows hold it, and how many of these are kept; no nulls."""
    encoded = pc.dictionary_encode(column).unify_dictionaries().combine_chunks() if len(column) else None
    if encoded is None or not len(encoded.dictionary):
        return []
    names = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, len(names)).to_numpy(zero_copy_only=False)
    total = np.bincount(codes, minlength=len(names) + 1)
    alive = np.bincount(codes[kept], minlength=len(names) + 1)
    return [(name, int(total[code]), int(alive[code])) for code, name in enumerate(names)]
