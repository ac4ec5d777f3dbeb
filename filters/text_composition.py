"""Is the text prose as a whole: enough function words and punctuation, not too many signs, no flagged words?

OBELICS' bounds of a document (Laurençon et al. 2023, table 3) that its length, repetition and language do not cover.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.composition import (
    SPAM_WORDS,
    STOP_WORDS,
    bare_words,
    punctuation,
    share_of,
    special_characters,
)
from infimm_data.document import Document, Measure
from infimm_data.list_files import files_of, word_list, words_of
from infimm_data.rules import AtLeast, AtMost, Level, Rule, check_bounds

READ_CHARACTERS = 1_000_000  # of a document's start: bounds the time that one page of 50 MB takes


@dataclass(frozen=True, kw_only=True)
class TextComposition:
    """Inclusive bounds, each a share in 0..1; None is off.

    max_special_characters: of characters; min_stop_words, max_spam_words: of words; min_punctuation: of words and
    marks. max_flagged_words, min_common_words: of words in the file that `flagged_words`, `common_words` name (one a
    line); without a file nothing is measured and the bound is off.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("flagged_words", "common_words")
    max_special_characters: float | None = 0.275
    min_stop_words: float | None = 0.35
    min_punctuation: float | None = 0.03
    max_spam_words: float | None = 0.12
    max_flagged_words: float | None = 0.01
    min_common_words: float | None = 0.9
    flagged_words: str | None = None
    common_words: str | None = None
    _flagged_words = words_of("flagged_words")
    _common_words = words_of("common_words")

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def check_files(self) -> None:
        """Raise ConfigError on a word list that cannot be read."""
        for path in files_of(self):
            word_list(path)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return the shares of the first million characters; None for a list that the recipe does not name."""
        text = document.text[:READ_CHARACTERS]
        found = bare_words(text)
        return {
            "special_characters": special_characters(text),
            "stop_words": share_of(found, STOP_WORDS),
            "punctuation": punctuation(text, len(found)),
            "spam_words": share_of(found, SPAM_WORDS),
            "flagged_words": None if self._flagged_words is None else share_of(found, self._flagged_words),
            "common_words": None if self._common_words is None else share_of(found, self._common_words),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the bounds that are on; those over a list let pass what was not measured."""
        at_most = {
            "special_characters": (self.max_special_characters, "too_many_special_characters"),
            "spam_words": (self.max_spam_words, "too_many_spam_words"),
            "flagged_words": (self.max_flagged_words, "too_many_flagged_words"),
        }
        at_least = {
            "stop_words": (self.min_stop_words, "too_few_stop_words"),
            "punctuation": (self.min_punctuation, "too_little_punctuation"),
            "common_words": (self.min_common_words, "too_few_common_words"),
        }
        listed = ("flagged_words", "common_words")
        return (
            *(AtMost(n, bound, why, n in listed) for n, (bound, why) in at_most.items() if bound is not None),
            *(AtLeast(n, bound, why, n in listed) for n, (bound, why) in at_least.items() if bound is not None),
        )
