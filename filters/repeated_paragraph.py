"""Does a paragraph stand on many pages of its site: a menu, a notice, a biography of the author? Cut out everywhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from infimm_data.document import Document, Node, TextNode
from infimm_data.errors import ConfigError
from infimm_data.links import digest
from infimm_data.rules import Level, Rule
from infimm_data.text import normal_form
from infimm_data.urls import host


@dataclass(frozen=True, kw_only=True)
class RepeatedParagraph:
    """Drops paragraphs that stand on too many pages of one host, all copies of them (Laurençon et al. 2023, A.2.3).

    pages: inclusive, on how many pages of a host a paragraph may stand (1: OBELICS). Copies of one page count as one:
    what has the same URL (`infimm_data.urls.page_key`), or the same text from first to last. Paragraphs are compared by
    their normal form; one without a word is left alone, as are turns of a conversation and pages without a host.
    """

    level: ClassVar[Level] = "document"
    pages: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError where every paragraph would go."""
        if self.pages < 1:
            raise ConfigError(f"pages is {self.pages}, expected 1 or more: every paragraph stands on one page")

    def keys(self, document: Document) -> list[bytes]:
        """Return the 16-byte key of each different paragraph of a page, with its host in it."""
        site = host(document.origin.url)
        if not site:
            return []
        texts = (text for node in document.texts if node.role is None for text in _paragraphs(node.text))
        return list(dict.fromkeys(key for text in texts if (key := _key(site, text))))

    def edit_repeated(self, document: Document, repeated: Collection[bytes]) -> tuple[Document, Mapping[str, int]]:
        """Return the page without the paragraphs whose key is among `repeated`, and how many went."""
        site = host(document.origin.url)
        if not site or not repeated:
            return document, {}
        nodes: list[Node] = []
        dropped = 0
        for node in document.nodes:
            if not isinstance(node, TextNode) or node.role is not None:
                nodes.append(node)
                continue
            texts = _paragraphs(node.text)
            kept = [text for text in texts if _key(site, text) not in repeated]
            dropped += len(texts) - len(kept)
            if len(kept) == len(texts):
                nodes.append(node)
            elif kept:
                nodes.append(replace(node, text="\n\n".join(kept)))
        if not dropped:
            return document, {}
        return replace(document, nodes=tuple(nodes)), {"paragraph_repeated_on_site": dropped}

    def edit(self, document: Document) -> tuple[Document, Mapping[str, int]]:
        """Return the page as it is: what is repeated is known once all are counted (`edit_repeated`)."""
        return document, {}

    def rules(self) -> tuple[Rule, ...]:
        """Return none: it edits."""
        return ()


def _paragraphs(text: str) -> list[str]:
    return text.split("\n\n")


def _key(site: str, paragraph: str) -> bytes | None:
    words = normal_form(paragraph)
    return digest(f"{site}\n{words}") if words else None
