"""The source of an image on a page: which of its many addresses holds the picture itself.

A page names a picture in `src`, in `srcset` (several sizes), in `<picture><source>`, or, where a script loads it
late, in a `data-` attribute while `src` holds a placeholder. The largest real candidate wins.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from infimm_data.image_headers import BadImage, read_header
from pipelines.html_vocabulary import GLYPH_CLASS

Attributes = Mapping[str, str | None]

# Where lazy-loading scripts keep the real address, most trusted first. Names are those of lazysizes, WordPress
# (Jetpack, WP Rocket, a3), Lozad, Vanilla LazyLoad, Squarespace, MediaWiki and the jQuery plug-ins.
LAZY_SOURCES = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-original-src",
    "data-orig-src",
    "data-lazyload",
    "data-img-src",
    "data-image-src",
    "data-actualsrc",
    "data-hi-res-src",
    "data-image",
)
LAZY_SOURCE_SETS = ("data-srcset", "data-lazy-srcset", "data-original-set", "data-src-set")

_SETS = frozenset(("srcset", *LAZY_SOURCE_SETS))
_LAZY = frozenset(LAZY_SOURCES)
_FULL_SIZE = _SETS | _LAZY

MIN_DATA_URI_CHARS = 512
"""A shorter `data:` image is a placeholder: a 1x1 GIF takes 78 characters, an empty SVG about 150."""

MAX_URL_CHARS = 8_192
"""Longer addresses are refused by common servers (nginx 8 KB, Apache 8,190); `data:` URIs are exempt."""

MAX_LINK_DEPTH = 12  # elements between an image and the link around it
MAX_GLYPH_SIDE = 32  # pixels; an image declared smaller on both sides is an icon inside a sentence
MAX_SRCSET_CHARS = 20_000  # a set of 20 long addresses takes 5,000

_SRCSET_CANDIDATE = re.compile(r"[\s,]*((?:data:\S+)|[^\s,](?:[^\s]*[^\s,])?)((?:\s+[\d.]+[a-z])*)\s*(?:,|$)", re.I)
_DESCRIPTOR = re.compile(r"([\d.]+)([a-z])", re.I)
_IMAGE_ENDINGS = frozenset(("gif", "png", "svg", "jpg", "jpeg", "webp"))
_PLACEHOLDER_WORDS = frozenset({
    "blank", "spacer", "spaceball", "transparent", "placeholder", "pixel", "empty", "clear", "1x1", "loading", "loader",
    "lazy", "lazyload", "grey", "gray", "shim",
})  # fmt: skip
_FILLERS = _PLACEHOLDER_WORDS | {
    "", "image", "img", "picture", "photo", "default", "trans", "bg", "gif", "png", "svg", "dot",
}  # fmt: skip
_SIZE = re.compile(r"\d+(?:x\d+)?")
_LEADING_INT = re.compile(r"\s*(\d{1,6})(?:\.\d*)?\s*(?:px)?\s*$", re.I)
_ABSOLUTE = re.compile(r"https?://[a-zA-Z0-9.-]+/[^\s#]*")
_FROM_ROOT = re.compile(r"/(?:/[a-zA-Z0-9.-]+/|(?!/))[^\s#;?]*(?:\?[^\s#]+)?")
_DATA_URI = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.I)


def image_url(
    attributes: Attributes,
    sources: Sequence[Attributes],
    base_url: str,
    is_stored: Callable[[str], bool] | None = None,
) -> str | None:
    """Return the absolute address (or `data:` URI) of an `<img>`'s picture, or None where it names none.

    attributes: of the `<img>`; sources: of the `<source>` elements before it in its `<picture>`, in order;
    base_url: what relative addresses stand against (RFC 3986). The largest candidate of all `srcset`s wins,
    then a lazy-loading attribute, then `src`; placeholders never win. is_stored: says of an absolute address that
    the dump holds its picture; such an address goes before one that would have to be fetched.
    """
    choices = _choices(attributes, sources)
    found = (address for choice in choices if (address := resolve(choice, base_url)) is not None)
    first = next(found, None)
    if is_stored is None or first is None or is_stored(first):
        return first
    return next(filter(is_stored, found), first)


def _choices(attributes: Attributes, sources: Sequence[Attributes]) -> Iterator[str]:
    """Yield what may be the address, best first; read one by one, since nearly always the first will do."""
    if not _SETS.isdisjoint(attributes):
        yield from _largest_first(_of_sets(attributes))
    # `<source>`s may be art-directed crops in formats that need not decode; the `<img>`'s own set is preferred.
    yield from _largest_first([candidate for source in sources for candidate in _of_sets(source)])
    if not _LAZY.isdisjoint(attributes):
        for name in LAZY_SOURCES:
            if (value := attributes.get(name)) and _looks_like_address(value):
                yield value
    yield attributes.get("src") or ""


def _of_sets(attributes: Attributes) -> list[tuple[float, str]]:
    """Return the candidates of the first lazy set and of `srcset`."""
    lazy = _first(attributes, LAZY_SOURCE_SETS)
    return [candidate for text in (lazy, attributes.get("srcset")) if text for candidate in srcset_candidates(text)]


def names_full_size(attributes: Attributes) -> bool:
    """Say whether the attributes name the picture itself, so that a `<noscript>` copy tells nothing more."""
    return not _FULL_SIZE.isdisjoint(attributes) and any(attributes.get(name) for name in _FULL_SIZE)


def srcset_candidates(srcset: str) -> list[tuple[float, str]]:
    """Return (size, address) of each candidate of a `srcset`, in order; size: width, or 1,000 times density.

    Densities ("2x") and widths ("800w") never stand in one valid set; 1x is the default.
    """
    found = []
    for address, descriptors in _SRCSET_CANDIDATE.findall(srcset[:MAX_SRCSET_CHARS]):
        try:
            size = float(descriptors[:-1]) if descriptors else 1.0
            found.append((size * 1_000 if not descriptors or descriptors[-1] in "xX" else size, address))
        except ValueError:
            found.append((_last_size(descriptors), address))
    return found


def _last_size(descriptors: str) -> float:
    """Return what the last of several descriptors says that is a number: of "1.2.3w" the default size."""
    size = 1_000.0
    for number, unit in _DESCRIPTOR.findall(descriptors):
        try:
            size = float(number) * (1_000 if unit in "xX" else 1)
        except ValueError:
            continue
    return size


def resolve(address: str, base_url: str) -> str | None:
    """Return `address` absolute against `base_url`, without fragment; None where it cannot name a picture.

    A `data:` URI is returned as it stands when it is an image and no placeholder.
    """
    address = address.strip()
    if not address.isprintable():
        address = address.replace("\n", "").replace("\r", "").replace("\t", "")
    if not _is_real(address):
        return None
    if address[:5].lower() == "data:":
        return address
    if (plain := _plainly_resolved(address, base_url)) is not None:
        return plain if len(plain) <= MAX_URL_CHARS else None
    return _resolved(address, base_url)


def _plainly_resolved(address: str, base_url: str) -> str | None:
    """Return what `_resolved` returns for the forms of nearly all addresses, at a fifth of the cost; else None."""
    if _ABSOLUTE.fullmatch(address) is not None:
        return address
    if _FROM_ROOT.fullmatch(address) is None or "/." in address or (base := _origin(base_url)) is None:
        return None
    return (base.partition("/")[0] if address[:2] == "//" else base) + address


@functools.lru_cache(maxsize=64)
def _origin(base_url: str) -> str | None:
    """Return scheme and host that a page's addresses stand against, None where it has none."""
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.hostname else None


def _resolved(address: str, base_url: str) -> str | None:
    try:
        absolute = address.replace(" ", "%20")
        parts = urlsplit(absolute)
        if not (parts.scheme and parts.netloc):
            absolute = urljoin(base_url, absolute)
            parts = urlsplit(absolute)
        _ = parts.port  # a port that is no number raises
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or len(absolute) > MAX_URL_CHARS:
        return None
    return absolute.partition("#")[0]


def decode_data_uri(uri: str, max_bytes: int) -> bytes | None:
    """Return the file in a `data:` image URI; None where it is no image, damaged, or over `max_bytes`."""
    match = _DATA_URI.match(uri)
    if match is None or not match[1].strip().lower().startswith("image/"):
        return None
    if len(uri) - match.end() > max_bytes * 3:  # percent-encoding takes three characters a byte at most
        return None
    data = unquote_to_bytes(uri[match.end() :])
    if ";base64" in match[2].lower():
        try:
            data = base64.b64decode(b"".join(data.split()) + b"==", validate=False)
        except (binascii.Error, ValueError):
            return None
    return data if len(data) <= max_bytes and is_image(data) else None


def is_image(data: bytes) -> bool:
    """Say whether a file begins as an image of any known format does; it may still be damaged further on."""
    try:
        read_header(data)
    except BadImage as bad:
        return bad.reason != "not_an_image"
    return True


def pixels(value: str | None) -> int | None:
    """Return the pixels that a `width` or `height` attribute declares, or None ("100%", "auto", 0)."""
    match = _LEADING_INT.match(value or "")
    return int(match[1]) or None if match else None


def is_glyph(attributes: Attributes, width: int | None, height: int | None) -> bool:
    """Say whether an image is a sign in a sentence, or a pixel that tracks; width, height: as declared, in pixels."""
    if min(width or 99, height or 99) <= 2:
        return True
    if width and height and max(width, height) <= MAX_GLYPH_SIDE:
        return True
    names = attributes.get("class")
    return bool(names) and GLYPH_CLASS.search(names or "") is not None


def link_kind(node: Any, url: str) -> int:
    """Return -1 where an image stands in a link to a picture, as itself in full size, and 1 in any other link."""
    above = node.parent
    for _ in range(MAX_LINK_DEPTH):
        if above is None or above.tag == "a":
            break
        above = above.parent
    href = ((above.attributes.get("href") if above is not None else None) or "")[:MAX_URL_CHARS]
    return -1 if is_image_address(href) or (href and file_of(href) == file_of(url)) else 1


def is_image_address(address: str) -> bool:
    """Say whether an address ends, before its query, in the name of an image file."""
    return _image_stem(address.partition("#")[0].partition("?")[0]) is not None


def file_of(address: str) -> str:
    """Return the last part of an address's path."""
    return address.partition("#")[0].partition("?")[0].rpartition("/")[2]


def _first(attributes: Attributes, names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := attributes.get(name))), None)


def _largest_first(candidates: list[tuple[float, str]]) -> list[str]:
    return [address for _, address in sorted(candidates, key=lambda candidate: -candidate[0])]


def _looks_like_address(value: str) -> bool:
    value = value.strip()
    return not value.startswith(("{", "[", "<")) and ("/" in value or "." in value)


def _is_real(address: str) -> bool:
    if address[:5].lower() == "data:":
        return address[5:11].lower() == "image/" and len(address) >= MIN_DATA_URI_CHARS
    return bool(address) and not address.startswith("#") and not _is_placeholder(address[:2_000])


def _is_placeholder(address: str) -> bool:
    """Say whether the whole name of the file says so: "spacer.gif", "placeholder-600x400.png", no "gray-wolf.jpg"."""
    for part in address.replace("#", "?").split("?"):
        if (stem := _image_stem(part)) is not None:
            words = stem.lower().replace("-", "_").replace(".", "_").split("_")
            for word in words:
                if word not in _FILLERS and not _SIZE.fullmatch(word):
                    return False
            return not _PLACEHOLDER_WORDS.isdisjoint(words)
    return False


def _image_stem(path: str) -> str | None:
    """Return the name, without its ending, of the image file that a path ends in, or None where it is no such file."""
    stem, _, ending = path.rpartition("/")[2].rpartition(".")
    return stem if stem and ending.lower() in _IMAGE_ENDINGS else None
