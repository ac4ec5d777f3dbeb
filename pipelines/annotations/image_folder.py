"""Images that an annotation file names: files below one folder, and never outside of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

from fsspec.implementations.local import LocalFileSystem

from infimm_data.files import file_system, join, resolve
from pipelines.html_images import decode_data_uri

WEB = ("http://", "https://")
_INLINE = "data:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_OTHER_SUFFIXES = (".gif", ".png", ".jpg", ".jpeg", ".webp")


class ImageFolder:
    """A folder of images: local, on another file system, or an http(s) address below which the names lie."""

    def __init__(self, root: str) -> None:
        """root: a local path, an fsspec URL, "package:" as `infimm_data.files.resolve` takes it, or http(s)."""
        self._root = resolve(root).rstrip("/") or "/"
        self._is_web = root.startswith(WEB)
        fs: Any = None
        inside = ""
        if not self._is_web:
            fs, inside = file_system(self._root)
        self._fs, self._inside = fs, inside
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._base = os.path.join(os.path.realpath(self._inside), "") if self._is_local else ""

    def url(self, name: str) -> str | None:
        """Return the URL of the image node for a name of the annotation file; None for a name that is not safe.

        That is the name itself where the file lies in a folder, of an absolute one what follows the folder's path, a
        web or `data:` address as it is. Not safe: empty, absolute and elsewhere, with `..`, a backslash, NUL or
        another scheme, or a link that leads out of the folder.
        """
        if name.startswith(WEB) or name[: len(_INLINE)].lower() == _INLINE:
            return name
        name = name[self._length_of_root(name) :]
        if not _stays_below(name):
            return None
        if self._is_web:
            return join(self._root, quote(name))
        return name if self._path(name) is not None else None

    def refusal(self, name: str) -> str:
        """Say why `url` is None for a name, and what helps where something does."""
        hint = "; set images_root to a folder above it" if name.startswith("/") and self._is_local else ""
        return f"{name[:200]!r} does not lie in the folder of images{hint}"

    def _length_of_root(self, name: str) -> int:
        """Return how many characters of an absolute name are the path of the folder, as given or without links."""
        if not (self._is_local and name.startswith("/")):
            return 0
        roots = (os.path.join(os.path.abspath(self._inside), ""), self._base)
        return max((len(root) for root in roots if name.startswith(root)), default=0)

    def _path(self, name: str) -> str | None:
        """Return the path of a name below the folder, None where a link leads out; the name is safe by its text."""
        if not self._is_local:
            return f"{self._inside}/{name}"
        path = os.path.realpath(self._base + name)
        return path if path.startswith(self._base) else None

    def other_suffix(self, name: str) -> str | None:
        """Return the name under which a missing file lies there with another suffix (a.gif for a.jpg), or None."""
        root, name = name[: self._length_of_root(name)], name[self._length_of_root(name) :]
        if self._is_web or not _stays_below(name) or self._size(name) is not None:
            return None
        stem = os.path.splitext(name)[0]
        others = (stem + suffix for suffix in _OTHER_SUFFIXES)
        return next((root + other for other in others if self._size(other) is not None), None)

    def _size(self, name: str) -> int | None:
        """Return the bytes of a file in the folder; None where there is no such file, or no plain one."""
        path = self._path(name)
        if path is None:
            return None
        try:
            if self._is_local:
                found = os.stat(path)
                return found.st_size if stat.S_ISREG(found.st_mode) else None
            return int(self._fs.size(path)) if self._fs.isfile(path) else None
        except OSError:
            return None

    def read(self, urls: Collection[str], max_bytes: int) -> Iterator[tuple[str, bytes]]:
        """Yield (URL, bytes) of the wanted images that lie in the folder or in their own `data:` address.

        A file above `max_bytes` is no image here. Web addresses are left to the fetch pass.
        """
        for url in urls:
            if url[: len(_INLINE)].lower() == _INLINE:
                data = decode_data_uri(url, max_bytes)
            elif _stays_below(url) and not self._is_web:
                data = self._read(url, max_bytes)
            else:
                data = None
            if data is not None:
                yield url, data

    def _read(self, name: str, max_bytes: int) -> bytes | None:
        size = self._size(name)
        return None if size is None or size > max_bytes else bytes(self._fs.cat_file(self._path(name)))


def _stays_below(name: str) -> bool:
    """Say whether a name, by its text alone, is a path below its folder on any system."""
    try:
        name.encode()  # half a surrogate pair is no name on any disk
    except UnicodeEncodeError:
        return False
    is_odd = "\0" in name or "\\" in name or _SCHEME.match(name) is not None
    return bool(name) and not is_odd and not name.startswith("/") and ".." not in name.split("/")
