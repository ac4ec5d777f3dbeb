"""Does the text hold questions of a benchmark, so that a model would have seen the examination?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.benchmarks import check_index, load_index
from infimm_data.document import Document, Measure
from infimm_data.rules import Level, Rule, check_bounds, within


@dataclass(frozen=True, kw_only=True)
class BenchmarkText:
    """Drops documents that share n-grams of words with the questions of benchmarks.

    index: a file that `infimm benchmark-index` made; its n-grams have 13 words where a question has as many (Brown et
    al. 2020, appendix C). max_ngrams: inclusive, different n-grams that may be shared; None only counts, and the report
    says how many documents each benchmark has.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("index",)
    index: str
    max_ngrams: int | None = 0

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is no number."""
        check_bounds(self)

    def check_files(self) -> None:
        """Raise ConfigError where there is no index."""
        check_index(self.index)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `benchmark_ngrams`, how many are shared, and `benchmark_text`, the benchmarks or None."""
        found = load_index(self.index).in_text(document.text)
        return {"benchmark_ngrams": float(sum(found.values())), "benchmark_text": ",".join(sorted(found)) or None}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound where it is on."""
        return within("benchmark_ngrams", None, self.max_ngrams, above="benchmark_question")
