"""Words, sentences and the normal form of text that comparisons use: one definition for every filter."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"\w+(?:['’\-]\w+)*", re.UNICODE)
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")
_SPACED = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) in "_'-")}
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_ADDRESS = re.compile(r"https?://\S+|www\.\S+|(?<!\S)[^\s@]++@\S+")  # tried at starts of words only: linear
_APOSTROPHE = re.compile("[’ʼʻ`]")


def words(text: str) -> list[str]:
    """Return the words of `text` in order, case kept.

    Scripts that write no spaces (Han, kana, Thai) count one word per character, as OBELICS' and Gopher's word
    counts would otherwise see a whole Chinese page as a few words.
    """
    if text.isascii():
        return _ascii_words(text)
    matches = _WORD.findall(text)
    if not _UNSPACED.search(text):  # most pages; three times as fast
        return matches
    found: list[str] = []
    for match in matches:
        found.extend(_split_unspaced(match) if _UNSPACED.search(match) else [match])
    return found


def _ascii_words(text: str) -> list[str]:
    """Return what the search for words finds, in half the time: cut at what is in no word, search where signs are."""
    parts = text.translate(_SPACED).split()
    if "-" not in text and "'" not in text:
        return parts
    found: list[str] = []
    for part in parts:
        if part.isalnum():
            found.append(part)
        else:
            found += _WORD.findall(part)
    return found


def _split_unspaced(word: str) -> list[str]:
    spaced = _UNSPACED.sub(lambda match: f" {match.group()} ", word)
    return spaced.split()


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`, stripped, without empty ones; a line break always ends one."""
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the sentences of `text` stand in it, from (inclusive) and to (exclusive), as `sentences` cuts."""
    start = 0
    ends = (match.span() for match in _SENTENCE_END.finditer(text))
    for end, behind in itertools.chain(ends, ((len(text), len(text)),)):
        part = text[start:end]
        if stripped := part.strip():
            first = start + len(part) - len(part.lstrip())
            yield first, first + len(stripped)
        start = behind


def normal_form(text: str) -> str:
    """Return `text` lower-case, NFKC, its words joined by one space: equal for copies that differ in layout."""
    return " ".join(words(unicodedata.normalize("NFKC", text).lower()))


def text_digest(text: str) -> str | None:
    """Return 32 hex digits (128 bits of BLAKE2b) of the normal form of a text, None where it has no word."""
    normal = normal_form(text)
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() if normal else None


def letters(text: str) -> str:
    """Return the letters of `text` in lower case with their marks and apostrophes, runs of all else one space.

    Web and mail addresses go whole. It is what language identification reads: digits, punctuation, layout and
    addresses say nothing about a language.
    """
    line = unicodedata.normalize("NFKC", _ADDRESS.sub(" ", text)).lower()
    return _not_letters().sub(" ", _APOSTROPHE.sub("'", line)).strip()


@functools.lru_cache(maxsize=1)
def _not_letters() -> re.Pattern[str]:
    """Compile what is no letter, mark or apostrophe; Python's word characters alone cut Devanagari at its vowels.

    Marks beyond U+FFFF (of rare scripts) are left out: with them `re` falls back to a search ten times slower.
    """
    marks = "".join(chr(code) for code in range(0x10000) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"(?:[^\w'{re.escape(marks)}]|[\d_])+")
