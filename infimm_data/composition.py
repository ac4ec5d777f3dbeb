"""What a text is made of: shares of words, marks and lines, which filters of paragraphs and documents share.

Definitions of the ROOTS corpus as OBELICS uses them (Laurençon et al. 2023, appendix A.2.2): words are split at white
space, in lower case, stripped of special characters; what is empty then is no word.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection, Sequence

PUNCTUATION = frozenset(",;:?!.")  # OBELICS' punctuation tokens
_SPECIAL = ("P", "S", "N", "C")  # Unicode categories: punctuation, symbols (emoji among them), digits, control

_FUNCTION_WORDS = (
    "a about above after again against all also am an and any are as at be because been before being below between "
    "both but by can could did do does doing don down during each few for from further had has have having he her "
    "here hers herself him himself his how i if in into is it its itself just me more most my myself no nor not now "
    "of off on once one only or other our ours ourselves out over own same she should so some such than that the "
    "their theirs them themselves then there these they this those through to too under until up very was we were "
    "what when where which while who whom why will with would you your yours yourself yourselves"
)
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Function words of English: the closed classes (articles, pronouns, prepositions, auxiliaries, conjunctions)."""

_FURNITURE = (
    "account advertisement advertising blog button cart checkout click comment comments cookie cookies copyright "
    "disclaimer download email facebook follow home instagram linkedin login logout menu newsletter password pinterest "
    "policy privacy register reply reserved rights share shipping signup sitemap subscribe terms tweet twitter "
    "whatsapp youtube"
)
SPAM_WORDS = frozenset(_FURNITURE.split())
"""Words of a page's furniture. OBELICS compares 40 such words and does not print them; these are ours."""


def bare_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without special characters at their ends."""
    return [word for part in text.lower().split() if (word := _bare(part))]


@functools.lru_cache(maxsize=1 << 16)  # a page says most of its words more than once, and pages share theirs
def _bare(part: str) -> str:
    return part if part.isalpha() else part.strip("".join(sign for sign in set(part) if _is_special(sign)))


@functools.lru_cache(maxsize=1 << 14)
def _is_special(sign: str) -> bool:
    return unicodedata.category(sign)[0] in _SPECIAL


def special_characters(text: str) -> float:
    """Return the share of characters that are digits, punctuation, symbols or emoji, 0..1; 0.0 of an empty text."""
    return sum(text.count(sign) for sign in set(text) if _is_special(sign)) / len(text) if text else 0.0


def share_of(words: Sequence[str], listed: Collection[str]) -> float:
    """Return the share of words that are on a list, 0..1; 0.0 without words."""
    return sum(word in listed for word in words) / len(words) if words else 0.0


def punctuation(text: str, num_words: int) -> float:
    """Return the share of punctuation tokens among words and punctuation tokens, 0..1; 0.0 of an empty text."""
    marks = sum(text.count(mark) for mark in PUNCTUATION)
    total = marks + num_words
    return marks / total if total else 0.0
