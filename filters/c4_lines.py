"""Which lines of a page are sentences? C4's rules, line by line: menus, buttons and notices go, the prose stays.

Rules and numbers of Raffel et al. 2020, section 2.2, as datatrove states them. They were made for text alone: on
interleaved pages headings and captions have no full stop and go too, which `keep_captions` prevents for captions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from infimm_data.document import Document, Node, TextNode
from infimm_data.rules import Level, Rule, check_bounds
from infimm_data.text import words

_END = (".", "?", "!", '"', "'", "\u201d", "\u2019")
_POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
)  # fmt: skip
_CITATION = re.compile(r"\[(?:\d{1,4}|edit|citation needed)\]", re.I)


@dataclass(frozen=True, kw_only=True)
class C4Lines:
    """min_words: of a line, inclusive (C4: 3); max_word_characters: of one word, inclusive (C4: 1,000); None is off.

    must_end: whether a line needs terminal punctuation (FineWeb switched this rule off: it costs 30 % of tokens);
    keep_captions: whether a text that is an image's caption stays whatever its form.
    """

    level: ClassVar[Level] = "document"
    min_words: int | None = 3
    max_word_characters: int | None = 1_000
    must_end: bool = True
    keep_captions: bool = True

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def edit(self, document: Document) -> tuple[Document, Mapping[str, int]]:
        """Return the document without the lines that are no sentences; a text without any line left goes whole."""
        captions = {node.caption for node in document.images if node.caption} if self.keep_captions else set()
        counts: Counter[str] = Counter()
        nodes: list[Node] = []
        for node in document.nodes:
            if isinstance(node, TextNode):
                if text := self._lines(node.text, captions, counts):
                    nodes.append(replace(node, text=text))
            else:
                nodes.append(node)
        return replace(document, nodes=tuple(nodes)), counts

    def rules(self) -> tuple[Rule, ...]:
        """Return none: an edit drops no document."""
        return ()

    def _lines(self, text: str, captions: set[str], counts: Counter[str]) -> str:
        text, num_citations = _CITATION.subn("", text)
        if num_citations:
            counts["citation_mark"] += num_citations
        kept: list[str] = []
        for line in text.split("\n"):
            reason = self._reason(line.strip()) if line.strip() not in captions else ""
            if reason:
                counts[reason] += 1
            else:
                kept.append(line)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()

    def _reason(self, line: str) -> str:
        """Return why a line goes, "" where it stays; blank lines are no lines, they separate paragraphs."""
        if not line:
            return ""
        lower = line.lower()
        if self.max_word_characters is not None and max(map(len, line.split())) > self.max_word_characters:
            return "word_too_long"
        if self.must_end and (not line.endswith(_END) or line.endswith(("...", "\u2026"))):
            return "no_terminal_punctuation"
        if self.min_words is not None and len(words(line)) < self.min_words:
            return "too_few_words_in_line"
        if "javascript" in lower:
            return "javascript_notice"
        return "policy_notice" if any(policy in lower for policy in _POLICIES) else ""
