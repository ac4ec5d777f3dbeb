"""Is the page a page of sentences? C4's rules on whole pages (Raffel et al. 2020, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.composition import bare_words
from infimm_data.document import Document, Measure
from infimm_data.list_files import files_of, word_list, words_of
from infimm_data.rules import Level, Rule, check_bounds, within
from infimm_data.text import sentences

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the time that one page of 50 MB takes


@dataclass(frozen=True, kw_only=True)
class C4Page:
    """Inclusive bounds; None is off.

    min_sentences: sentences of the page (5 after C4's rules about lines, the edit `c4_lines`); max_lorem_ipsum,
    max_braces: how often "lorem ipsum" and "{" may stand there (C4: never); max_bad_words: how many words of the file
    that `bad_words` names (one a line) may; without a file nothing is measured and the bound is off.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("bad_words",)
    min_sentences: int | None = 5
    max_lorem_ipsum: int | None = 0
    max_braces: int | None = 0
    max_bad_words: int | None = 0
    bad_words: str | None = None
    _bad_words = words_of("bad_words")

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def check_files(self) -> None:
        """Raise ConfigError on a word list that cannot be read."""
        for path in files_of(self):
            word_list(path)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Count in the first million characters; `num_bad_words` is None without a list."""
        text, listed = document.text[:READ_CHARACTERS], self._bad_words
        return {
            "num_sentences": len(sentences(text)),
            "num_lorem_ipsum": text.lower().count("lorem ipsum"),
            "num_braces": text.count("{"),
            "num_bad_words": None if listed is None else sum(word in listed for word in bare_words(text)),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on; that of the list lets pass what was not counted."""
        return (
            *within("num_sentences", self.min_sentences, None, below="too_few_sentences"),
            *within("num_lorem_ipsum", None, self.max_lorem_ipsum, above="lorem_ipsum"),
            *within("num_braces", None, self.max_braces, above="curly_braces"),
            *within("num_bad_words", None, self.max_bad_words, above="bad_words", or_unknown=True),
        )
