"""What a host reserves: /.well-known/tdmrep.json as W3C's TDM Reservation Protocol (TDMRep) has it read.

An array of rules, of which the first that matches a path counts ("TDM File on the Origin Server" in the Community
Group's report, https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/). Patterns are those of
robots.txt: `*` is any characters, a `$` at the end is the end of the path, all else a prefix. A host whose file
cannot be had or read does not take part in the protocol: it reserves nothing there.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from urllib.parse import quote

log = logging.getLogger(__name__)

PATH = "/.well-known/tdmrep.json"
RESERVED = "tdmrep.json: tdm-reservation 1"
"""The directive of a refusal, as X-Robots-Tag's are written."""
MAX_RULES = 1_000  # that are looked at; published files have a handful
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_COMPARED_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "*$")
"""Characters that count the same escaped or not: RFC 3986's unreserved ones, and those that a pattern must escape."""


@dataclass(frozen=True, slots=True)
class Rule:
    """pieces: of the pattern, between its `*`, to be found one after the other; ends: the last ends the path."""

    pieces: tuple[str, ...]
    ends: bool
    is_reserved: bool

    def matches(self, path: str) -> bool:
        """Say whether a path matches, in time linear in its length however many `*` there are."""
        if not path.startswith(self.pieces[0]):
            return False
        at = len(self.pieces[0])
        *middle, last = self.pieces[1:] or ("",)
        for piece in middle:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        if not self.ends:
            return last in path[at:]
        if len(self.pieces) == 1:
            return at == len(path)
        return len(path) - len(last) >= at and path.endswith(last)


def read_reservations(body: bytes, host: str) -> tuple[Rule, ...]:
    """Return the rules of a tdmrep.json in order; none where it is no JSON array of objects.

    A rule that lacks a pattern, or whose tdm-reservation is neither 0 nor 1, states nothing (the report's "protocol
    errors"). host: for the log, where what is unreadable is named.
    """
    try:
        found = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        log.info("host=%s its %s is no JSON array of rules: taken as none", host, PATH)
        return ()
    return tuple(rule for entry in found[:MAX_RULES] if (rule := _rule(entry)) is not None)


def is_reserved(rules: tuple[Rule, ...], path: str) -> bool:
    """Say whether the first rule that matches reserves a path; path: from its slash, with its query."""
    if not rules:
        return False
    plain = _plain(path)
    return next((rule.is_reserved for rule in rules if rule.matches(plain)), False)


def _rule(entry: object) -> Rule | None:
    if not isinstance(entry, dict):
        return None
    location, value = entry.get("location"), entry.get("tdm-reservation")
    # The number 1 in the report's examples; its other techniques write "1", and so do files in the wild.
    if not isinstance(location, str) or not location or isinstance(value, bool) or value not in (0, 1, "0", "1"):
        return None
    pattern = location if location[0] in "/*" else f"/{location}"
    ends = pattern.endswith("$")
    pieces = pattern.removesuffix("$").split("*")
    return Rule(tuple(_plain(piece) for piece in pieces), ends, value in (1, "1"))


def _plain(text: str) -> str:
    """Return text in the one form of escaping in which paths are compared (the report follows RFC 3986 here)."""

    def unescaped(escape: re.Match[str]) -> str:
        character = chr(int(escape[0][1:], 16))
        return character if character in _COMPARED_PLAIN else escape[0].upper()

    ascii_only = text if text.isascii() else quote(text, safe="".join(map(chr, range(128))), errors="replace")
    return _ESCAPE.sub(unescaped, ascii_only)
