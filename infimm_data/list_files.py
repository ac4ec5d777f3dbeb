"""Lists in a user's own files: words, domains and addresses, one a line, plain or gzip.

A line that starts with `#` and a blank one say nothing. A filter names the settings that hold such paths in its class
attribute `file_settings`, so that a changed file measures again and a missing one stops the run before any work.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from infimm_data.errors import ConfigError
from infimm_data.files import identity, read_bytes, resolve, sha256_of

MAX_LIST_BYTES = 1 << 30  # of a file once inflated; the largest public block list, UT1's "adult", has 100 MB
_WORDS, _URLS = "a list of words, one per line", "a list of domains or addresses, one per line"


def files_of(settings: Any) -> tuple[str, ...]:
    """Return the paths of the files that a filter's settings name: those of its class attribute `file_settings`."""
    named = (getattr(settings, name) for name in getattr(settings, "file_settings", ()))
    return tuple(path for value in named for path in ((value,) if isinstance(value, str) else value or ()))


def digests_of(settings: Any) -> dict[str, str]:
    """Return the SHA-256 of each file that the settings name, so that what was measured with it names its content."""
    return {path: _digest(path, identity(resolve(path))) for path in files_of(settings)}


@functools.lru_cache(maxsize=64)
def _digest(path: str, identity_now: str) -> str:
    return sha256_of(resolve(path)) if identity_now else ""


def words_of(setting: str) -> functools.cached_property[frozenset[str] | None]:
    """Return an attribute of a filter: the words of the file that a setting names, None where it names none.

    Read once per worker: whether a file changed is asked when the step is made, not of every text.
    """

    def read(settings: Any) -> frozenset[str] | None:
        path = getattr(settings, setting)
        return word_list(path) if path else None

    return functools.cached_property(read)


def urls_of(setting: str) -> functools.cached_property[tuple[UrlList, ...]]:
    """Return an attribute of a filter: the lists in the files that a setting names, read as `words_of` reads."""
    return functools.cached_property(lambda settings: tuple(map(url_list, getattr(settings, setting))))


@runtime_checkable
class ReadsFiles(Protocol):
    """A filter that reads files which its settings name; its measures are stored, so that only a build needs them."""

    def check_files(self) -> None:
        """Raise ConfigError where one of them cannot be read."""
        ...


def word_list(path: str) -> frozenset[str]:
    """Return the words of a file in lower case; raises ConfigError when it cannot be read or holds none."""
    return _word_list(path, identity(resolve(path)))


@functools.lru_cache(maxsize=8)
def _word_list(path: str, _identity: str) -> frozenset[str]:
    return frozenset(line.lower() for line in _lines(path, _WORDS))


def url_list(path: str) -> UrlList:
    """Return the list in a file; raises ConfigError when it cannot be read or holds a line that names no host."""
    return _url_list(path, identity(resolve(path)))


@functools.lru_cache(maxsize=8)
def _url_list(path: str, _identity: str) -> UrlList:
    hashes: list[int] = []
    for line in _lines(path, _URLS):
        entry = _canonical(line if "://" in line else f"http://{line.removeprefix('//')}")
        if not entry:
            raise ConfigError(f"{path}: '{line[:80]}' names no host; expected {_URLS}, such as example.org/shop")
        hashes.append(_hash(entry))
    return UrlList(np.unique(np.array(hashes, dtype=np.uint64)))


@dataclass(frozen=True)
class UrlList:
    """Domains and addresses as the sorted 64-bit hashes of their canonical form: 8 bytes each, where four million
    strings take 400 MB in every worker. Two that meet by chance: below 1e-11 for a URL against four million.
    """

    hashes: npt.NDArray[np.uint64]

    def match(self, url: str) -> str:
        """Return the entry under which the URL falls, "" if none: its host, a domain above it, or a path it is in."""
        candidates = list(_candidates(url))
        if not candidates or not len(self.hashes):
            return ""
        wanted = np.array([_hash(candidate) for candidate in candidates], dtype=np.uint64)
        at = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        found = np.flatnonzero(self.hashes[at] == wanted)
        return candidates[found[0]] if len(found) else ""


def _hash(entry: str) -> int:
    return int(xxh3_64_intdigest(entry.encode()))


def first_match(lists: Sequence[UrlList], url: str) -> str:
    """Return the first entry of these lists under which the URL falls, or ""."""
    return next((entry for one in lists if (entry := one.match(url))), "")


def _candidates(url: str) -> Iterator[str]:
    """Yield what could stand for a URL in a list: host and path, cut at each "/", then the domains above the host."""
    canonical = _canonical(url)
    if not canonical:
        return
    host, *folders = canonical.split("/")
    for end in range(len(folders), 0, -1):
        yield "/".join([host, *folders[:end]])
    labels = host.split(".")
    for start in range(len(labels)):
        yield ".".join(labels[start:])


def _canonical(url: str) -> str:
    """Return host and path without scheme, port, "www.", query and the last "/"; "" of what names no host."""
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").rstrip(".").removeprefix("www.")
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # "http://[broken", a label of more than 63 characters
        return ""
    return host + parts.path.rstrip("/") if host else ""


def _lines(path: str, expected: str) -> list[str]:
    """Return the lines that say something; raises ConfigError where there are none."""
    try:
        data = read_bytes(resolve(path))
        text = (_inflate(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{path}: no such file; expected {expected}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; expected {expected}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); expected {expected}") from None
    found = [line for each in text.splitlines() if (line := each.strip()) and not line.startswith("#")]
    if not found:
        raise ConfigError(f"{path}: holds no line; expected {expected}")
    return found


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    inflated = inflater.decompress(data, MAX_LIST_BYTES)
    if not inflater.eof:
        raise EOFError("it ends early" if not inflater.unconsumed_tail else f"more than {MAX_LIST_BYTES} bytes")
    return inflated
