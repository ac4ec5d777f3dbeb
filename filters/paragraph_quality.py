"""Which paragraphs are prose? OBELICS' rules for the texts between images: menus, lists of links and spam go.

Every number is OBELICS' (Laurençon et al. 2023, table 3, node level; its own configuration of the English run). Its
language and perplexity bounds are off at this level there too, and are no part of this filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from infimm_data.composition import (
    SPAM_WORDS,
    STOP_WORDS,
    bare_words,
    punctuation,
    share_of,
    special_characters,
)
from infimm_data.document import Document, Node, TextNode
from infimm_data.list_files import files_of, word_list, words_of
from infimm_data.repetition import char_repetition, numbered, word_repetition
from infimm_data.rules import Level, Rule, check_bounds

_PUNCTUATED_FROM = 12  # words and marks: shorter paragraphs need no punctuation (OBELICS)
_CHAR_NGRAM, _WORD_NGRAM = 10, 5


@dataclass(frozen=True, kw_only=True)
class ParagraphQuality:
    """Inclusive bounds of one paragraph (texts are cut at blank lines); None is off.

    min_words, max_words: words; max_char_repetition, max_word_repetition: of 10-grams of characters and 5-grams of
    words; max_special_characters: share of characters; min_stop_words, max_spam_words, min_punctuation: shares of
    words, the last of words and marks. max_flagged_words, min_common_words: shares of the words in a file that
    `flagged_words`, `common_words` name (one word a line); without the file the bound is off. keep_captions:
    whether a paragraph that is an image's caption stays whatever its form.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("flagged_words", "common_words")
    min_words: int | None = 4
    max_words: int | None = 1_000
    max_char_repetition: float | None = 0.1
    max_word_repetition: float | None = 0.1
    max_special_characters: float | None = 0.3
    min_stop_words: float | None = 0.3
    max_flagged_words: float | None = 0.01
    min_punctuation: float | None = 0.001
    max_spam_words: float | None = 0.12
    min_common_words: float | None = 0.8
    flagged_words: str | None = None
    common_words: str | None = None
    keep_captions: bool = True
    _flagged_words = words_of("flagged_words")
    _common_words = words_of("common_words")

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def check_files(self) -> None:
        """Raise ConfigError on a word list that cannot be read."""
        for path in files_of(self):
            word_list(path)

    def edit(self, document: Document) -> tuple[Document, Mapping[str, int]]:
        """Return the document without the paragraphs that are no prose; a text without any left goes whole."""
        captions = {node.caption for node in document.images if node.caption} if self.keep_captions else set()
        counts: Counter[str] = Counter()
        nodes: list[Node] = []
        for node in document.nodes:
            if not isinstance(node, TextNode):
                nodes.append(node)
                continue
            kept = []
            for paragraph in node.text.split("\n\n"):
                reason = self._reason(paragraph) if paragraph.strip() not in captions else ""
                counts[reason] += 1
                if not reason:
                    kept.append(paragraph)
            if kept:
                nodes.append(replace(node, text="\n\n".join(kept)))
        del counts[""]
        return replace(document, nodes=tuple(nodes)), counts

    def rules(self) -> tuple[Rule, ...]:
        """Return none: an edit drops no document."""
        return ()

    def _reason(self, text: str) -> str:
        """Return why a paragraph goes, "" where it stays; cheap questions first."""
        found = bare_words(text)
        if _below(len(found), self.min_words):
            return "paragraph_too_few_words"
        if _above(len(found), self.max_words):
            return "paragraph_too_many_words"
        if _above(special_characters(text), self.max_special_characters):
            return "paragraph_special_characters"
        if len(found) >= _PUNCTUATED_FROM and _below(punctuation(text, len(found)), self.min_punctuation):
            return "paragraph_without_punctuation"
        return self._reason_of_words(found) or self._reason_of_repetition(text, found)

    def _reason_of_words(self, found: list[str]) -> str:
        if _below(share_of(found, STOP_WORDS), self.min_stop_words):
            return "paragraph_too_few_stop_words"
        if _above(share_of(found, SPAM_WORDS), self.max_spam_words):
            return "paragraph_spam_words"
        if self._flagged_words and _above(share_of(found, self._flagged_words), self.max_flagged_words):
            return "paragraph_flagged_words"
        if self._common_words and _below(share_of(found, self._common_words), self.min_common_words):
            return "paragraph_uncommon_words"
        return ""

    def _reason_of_repetition(self, text: str, found: list[str]) -> str:
        if _above(char_repetition(text, _CHAR_NGRAM), self.max_char_repetition):
            return "paragraph_repeated_characters"
        if _above(word_repetition(numbered(found), _WORD_NGRAM), self.max_word_repetition):
            return "paragraph_repeated_words"
        return ""


def _below(value: float, bound: float | None) -> bool:
    return bound is not None and value < bound


def _above(value: float, bound: float | None) -> bool:
    return bound is not None and value > bound
