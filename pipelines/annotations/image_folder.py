"""Images that an annotation file names: files below one folder, and never outside of it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from fsspec.implementations.local import LocalFileSystem

from infimm_data.files import file_system, join, resolve
from pipelines.html_images import decode_data_uri

WEB = ("http://", "https://")
_INLINE = "data:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_OTHER_SUFFIXES = (".gif", ".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """root: a local folder, an fsspec URL, or an http(s) address below which the names lie."""

    root: str

    def url(self, name: str) -> str | None:
        """Return the URL of the image node for a name of the annotation file; None for a name that is not safe.

        That is the name itself where the file lies in a folder, a web or `data:` address as it is. Not safe: empty,
        absolute, with `..`, a backslash, NUL or another scheme, or a link that leads out of the folder.
        """
        if name.startswith(WEB) or name[: len(_INLINE)].lower() == _INLINE:
            return name
        if not _stays_below(name):
            return None
        if self.root.startswith(WEB):
            return join(self.root, quote(name))
        return name if self._local(name) is not None else None

    def _local(self, name: str) -> str | None:
        """Return the path of a name below the folder, None where a link leads out; the name is safe by its text."""
        fs, root = file_system(resolve(self.root))
        if not isinstance(fs, LocalFileSystem):
            return f"{root.rstrip('/')}/{name}"
        base, path = os.path.realpath(root), os.path.realpath(os.path.join(root, name))
        return path if path.startswith(base.rstrip(os.sep) + os.sep) else None

    def other_suffix(self, name: str) -> str | None:
        """Return the name under which a missing file lies there with another suffix (a.gif for a.jpg), or None."""
        if self.url(name) != name or name.startswith((*WEB, _INLINE)) or self._size(name) is not None:
            return None
        stem = os.path.splitext(name)[0]
        others = (stem + suffix for suffix in _OTHER_SUFFIXES)
        return next((other for other in others if self._size(other) is not None), None)

    def _size(self, name: str) -> int | None:
        fs, _ = file_system(resolve(self.root))
        path = self._local(name)
        if path is None or not fs.isfile(path):
            return None
        return int(fs.size(path) or 0)

    def read(self, urls: Collection[str], max_bytes: int) -> Iterator[tuple[str, bytes]]:
        """Yield (URL, bytes) of the wanted images that lie in the folder or in their own `data:` address.

        A file above `max_bytes` is no image here. Web addresses are left to the fetch pass.
        """
        for url in urls:
            if url[: len(_INLINE)].lower() == _INLINE:
                data = decode_data_uri(url, max_bytes)
            elif _stays_below(url) and not self.root.startswith(WEB):
                data = self._read(url, max_bytes)
            else:
                data = None
            if data is not None:
                yield url, data

    def _read(self, name: str, max_bytes: int) -> bytes | None:
        size = self._size(name)
        if size is None or size > max_bytes:
            return None
        fs, _ = file_system(resolve(self.root))
        return bytes(fs.cat_file(self._local(name)))


def _stays_below(name: str) -> bool:
    """Say whether a name, by its text alone, is a path below its folder on any system."""
    try:
        name.encode()  # half a surrogate pair is no name on any disk
    except UnicodeEncodeError:
        return False
    is_odd = "\0" in name or "\\" in name or _SCHEME.match(name) is not None
    return bool(name) and not is_odd and not name.startswith("/") and ".." not in name.split("/")
