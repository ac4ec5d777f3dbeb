"""Does the same text stand on more documents than a caption does: "image for", "picture of", "click to enlarge"?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import GroupAtMost, Level, Rule, check_bounds
from infimm_data.text import text_digest


@dataclass(frozen=True, kw_only=True)
class FrequentText:
    """max_documents: inclusive; a text on more documents of the whole set is dropped from all of them; None is off.

    Texts are the same when their normal form is. 10: COYO drops what appears more often (README of
    kakaobrain/coyo-dataset, "Text Level").
    """

    level: ClassVar[Level] = "document"
    max_documents: int | None = 10

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is not a number."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `frequent_text_hash`: `text_digest`, None without a word."""
        return {"frequent_text_hash": text_digest(document.text)}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bound, where it is on."""
        if self.max_documents is None:
            return ()
        return (GroupAtMost("frequent_text_hash", self.max_documents, "text_too_frequent"),)
