"""Errors by what the run should do about them.

    InfiMMError
    ├── ConfigError    the input of a command is wrong: stop before any work, exit 2
    ├── SourceError    one work item cannot be read: retry, then name it in the report, exit 1
    ├── NoSpaceError   the storage is full: stop at once, every other write would fail too, exit 1
    └── ShardError     a shard is damaged: the reader stops and names the shard

A message says in one line where, what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InfiMMError(Exception):
    """The root of all errors that InfiMM raises on purpose."""


class ConfigError(InfiMMError):
    """A recipe, a flag or an input path is wrong; nothing was done."""


class SourceError(InfiMMError):
    """A work item (a dump file) cannot be read as what it claims to be."""


class NoSpaceError(InfiMMError):
    """The disk, or the quota on it, is full; what was finished before stays."""


class ShardError(InfiMMError):
    """A shard, or the index beside it, is not what was written."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'X'?" for the known word that `word` begins or is nearest to, or "" when none is."""
    known = list(known)
    begun = [one for one in known if len(word) > 2 and one.startswith(word)]
    near = begun or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
