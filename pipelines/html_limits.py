"""Pages made to stall a parser: nesting and attribute counts are bounded before the tree is built.

lexbor 2 (selectolax 1.0.2) takes time that grows with the square of the nesting of block elements and of the
attributes of one element; measured on one core: 100,000 nested <div> 28 s, 10,000 0.3 s; 100,000 attributes 18 s.
"""

from __future__ import annotations

import re

_RAW_TEXT = rb"script|style|textarea|title|xmp|noembed|noframes|iframe"
_ATTRIBUTES = rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+'|[\"'])*+"
_TOKEN = re.compile(
    rb"<!--.*?(?:-->|\Z)"
    rb"|<(?P<raw>" + _RAW_TEXT + rb")(?=[\s/>])" + _ATTRIBUTES + rb">.*?(?:</(?P=raw)\b|\Z)"
    rb"|<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]{0,64})(?P<attributes>" + _ATTRIBUTES + rb")",
    re.S | re.I,
)
# Elements that end by themselves or that lexbor nests at no cost: they do not count as depth.
_FREE = frozenset(
    b"p li dt dd tr td th thead tbody tfoot colgroup option optgroup br img hr input meta link source col wbr area "
    b"base embed param track a b i u em strong font small big code tt s strike nobr span".split()
)
MAX_ATTRIBUTES = 10_000  # of one element; real pages stay below 100
# Of these, what stays open is opened again in every block that follows (HTML standard, 13.2.4.3): nested without end
# they cost the square too (160,000 of them 5 s), and they count as a depth of their own.
_FORMATTING = frozenset(
    b"b big code em font i s small strike strong tt u".split()
)  # a new <a> or <nobr> ends an open one
MAX_OPEN_TAGS = 200_000  # counted elements of a page, whatever closes them
MAX_IMAGES = 20_000  # of a page: 600,000 <img> in 9 MB became a document of half a gigabyte


def parsing_hazard(html: bytes, max_depth: int) -> str | None:
    """Return why a page must not be parsed ("page_too_deep", "too_many_attributes", "too_many_images"), or None.

    html: the page's bytes; max_depth: nested elements (those that cost time to nest), and formatting elements left
    open. Linear in the page's size; a page with fewer tags than `max_depth` is not scanned for depth.
    """
    if html.count(b"<img") + html.count(b"<IMG") > MAX_IMAGES:
        return "too_many_images"
    if html.count(b"<") <= max_depth and len(html) < 2 * MAX_ATTRIBUTES:
        return None
    depth = deepest = opened = formatting = 0
    open_by_name: dict[bytes, int] = {}
    for token in _TOKEN.finditer(html):
        name = (token["name"] or b"").lower()
        if not name:
            continue
        attributes = token["attributes"]
        if len(attributes) > 2 * MAX_ATTRIBUTES and len(attributes.split()) > MAX_ATTRIBUTES:
            return "too_many_attributes"
        if name in _FORMATTING:
            formatting = formatting - 1 if token["close"] and formatting else formatting + (not token["close"])
            if formatting > max_depth:
                return "page_too_deep"
        if name in _FREE:
            continue
        if token["close"]:
            if open_by_name.get(name, 0):
                open_by_name[name] -= 1
                depth -= 1
        elif not attributes.endswith(b"/"):
            open_by_name[name] = open_by_name.get(name, 0) + 1
            depth, opened = depth + 1, opened + 1
            deepest = max(deepest, depth)
    return "page_too_deep" if deepest > max_depth or opened > MAX_OPEN_TAGS else None
