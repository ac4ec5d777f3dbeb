"""Facts that are asked again and again: columns are converted once, and a rule that did not change is not asked twice.

Memory: 8 bytes per row of each measure that rules read, and 1 for each rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.rules import ByValue, Level, Mask, OneOf
from pipelines.facts import Facts

KEPT_RULES = 4  # latest rules of each measure whose answers are kept: a slider passes many values and leaves few


@dataclass
class RememberedFacts(Facts):
    """memory: what was asked so far, but of columns that were added later: those change between questions."""

    memory: dict[Any, Any] = field(default_factory=dict)
    added: frozenset[str] = frozenset()

    def document_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """As of all facts."""
        key = "document", measure
        if key not in self.memory:
            self.memory[key] = super().document_column(measure, is_optional=is_optional)
        found: npt.NDArray[Any] = self.memory[key]
        return found

    def image_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """As of all facts."""
        if measure in self.added:
            return super().image_column(measure, is_optional=is_optional)
        key = "image", measure
        if key not in self.memory:
            self.memory[key] = super().image_column(measure, is_optional=is_optional)
        found: npt.NDArray[Any] = self.memory[key]
        return found

    def document_groups(self, measure: str) -> npt.NDArray[np.int64]:
        """As of all facts."""
        key = "groups", measure
        if key not in self.memory:
            self.memory[key] = super().document_groups(measure)
        found: npt.NDArray[np.int64] = self.memory[key]
        return found

    def passing(self, level: Level, rule: ByValue, values: npt.NDArray[Any]) -> Mask:
        """As of all facts; the answers to the latest rules about a measure are kept."""
        is_counted = rule.measure in ("images_kept", "images_lost")  # of what is kept at that step
        if is_counted or (level == "image" and rule.measure in self.added):
            return super().passing(level, rule, values)
        answers = self.memory.setdefault(("rules", level, rule.measure), {})
        if rule not in answers:
            if len(answers) >= KEPT_RULES:
                answers.pop(next(iter(answers)))
            slugs = self._slugs(level, rule.measure) if isinstance(rule, OneOf) else None
            answers[rule] = super().passing(level, rule, values) if slugs is None else rule.passes(slugs[0])[slugs[1]]
        found: Mask = answers[rule]
        return found

    def _slugs(self, level: Level, measure: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None:
        """Return the distinct texts of a column, None the last of them, and the place among them of each row.

        A rule about slugs is asked of each text instead of each row. None where the column holds no texts.
        """
        key = "slugs", level, measure
        table = self.images if level == "image" else self.documents
        if measure not in table.column_names or not pa.types.is_string(table.column(measure).type):
            return None
        if key not in self.memory:
            encoded = pc.dictionary_encode(table.column(measure)).unify_dictionaries().combine_chunks()
            texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
            self.memory[key] = texts, pc.fill_null(encoded.indices, len(texts) - 1).to_numpy(zero_copy_only=False)
        found: tuple[npt.NDArray[Any], npt.NDArray[np.int64]] = self.memory[key]
        return found

    def with_images(self, columns: dict[str, Any]) -> RememberedFacts:
        """Return the facts with more measures of images, which are not remembered."""
        whole = super().with_images(columns)
        assert isinstance(whole, RememberedFacts)
        whole.added = self.added | set(columns)
        return whole


def remembered(facts: Facts) -> RememberedFacts:
    """Return facts that remember."""
    return RememberedFacts(**{one.name: getattr(facts, one.name) for one in fields(Facts)})
