"""Is the text of a document long enough to teach something, and not a dump of everything?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document, Measure
from infimm_data.rules import Level, Rule, check_bounds, within
from infimm_data.text import words


@dataclass(frozen=True, kw_only=True)
class TextLength:
    """min_words, max_words: inclusive bounds, words of all text nodes; min_characters, max_characters likewise.

    A word is what `infimm_data.text.words` counts: one per character in scripts without spaces. Defaults: 10
    words as OBELICS asks of a document (Laurençon et al. 2023, appendix A.2.2), 100,000 as Gopher allows (Rae et
    al. 2021, table A1; OBELICS' 2,000 would lose long articles).
    """

    level: ClassVar[Level] = "document"
    min_words: int | None = 10
    max_words: int | None = 100_000
    min_characters: int | None = None
    max_characters: int | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Count `num_words` and `num_characters` (code points, the breaks between nodes not counted)."""
        texts = [node.text for node in document.texts]
        return {"num_words": sum(len(words(text)) for text in texts), "num_characters": sum(map(len, texts))}

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on, words first."""
        return (
            *within("num_words", self.min_words, self.max_words, below="too_few_words", above="too_many_words"),
            *within(
                "num_characters",
                self.min_characters,
                self.max_characters,
                below="too_few_characters",
                above="too_many_characters",
            ),
        )
