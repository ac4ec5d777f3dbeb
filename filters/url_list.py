"""Is the page on a list of domains, addresses or words that the user brings: to block, or the only ones allowed?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote

from infimm_data.document import Document, Measure
from infimm_data.errors import ConfigError
from infimm_data.list_files import files_of, first_match, url_list, urls_of, word_list, words_of
from infimm_data.rules import Level, OneOf, Rule, check_bounds, within

_SIGNS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, kw_only=True)
class UrlList:
    """block, allow: files of domains ("example.org", its subdomains with it) and addresses ("example.org/shop", all
    below it with it), one a line, such as the UT1 lists that FineWeb blocks. A page on both is dropped.

    words: a file of words, looked for whole in host and path; max_url_words: inclusive, how many of them may stand
    there (FineWeb: 0 of its hard and 1 of its soft words). None and () are off; one of the three must be given.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("block", "allow", "words")
    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    words: str | None = None
    max_url_words: int | None = 0
    _block = urls_of("block")
    _allow = urls_of("allow")
    _words = words_of("words")

    def __post_init__(self) -> None:
        """Raise ConfigError when no list is named."""
        check_bounds(self)
        if not files_of(self):
            raise ConfigError("names no list; give `block` or `allow` (files of domains) or `words` (a file of words)")

    def check_files(self) -> None:
        """Raise ConfigError when a list cannot be read."""
        for path in (*self.block, *self.allow):
            url_list(path)
        if self.words is not None:
            word_list(self.words)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `url_blocked` (the entry that holds the URL, or ""), `url_allowed` ("yes", "no"), `num_url_words`.

        The last two are None without their list. A document without a URL is on no list.
        """
        url = document.origin.url
        return {
            "url_blocked": first_match(self._block, url),
            "url_allowed": ("yes" if first_match(self._allow, url) else "no") if self.allow else None,
            "num_url_words": None if self._words is None else _num_words(url, self._words),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of the lists: blocked, allowed, words."""
        return (
            OneOf("url_blocked", ("",), "url_blocked"),
            OneOf("url_allowed", ("yes",), "url_not_allowed", or_unknown=True),
            *within("num_url_words", None, self.max_url_words, above="url_words", or_unknown=True),
        )


def _num_words(url: str, listed: frozenset[str]) -> int:
    _, _, rest = unquote(url).partition("://")
    return sum(word in listed for word in _SIGNS.split(rest.lower()))
