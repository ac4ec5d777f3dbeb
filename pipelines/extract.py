"""HTML to an interleaved document: text and images in reading order, without the page's boilerplate.

Cost: one parse (lexbor) and one walk per page, no recursion, so that nesting depth is no matter of stack.
"""

from __future__ import annotations

import codecs
import gc
import re
from collections.abc import Callable
from itertools import pairwise

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from selectolax.lexbor import LexborHTMLParser

from infimm_data.document import Document, Node, Origin, TextNode, new_document
from pipelines.html_blocks import Block
from pipelines.html_content import content_blocks
from pipelines.html_head import read_head
from pipelines.html_text import CELL
from pipelines.html_walk import walk

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:\-]{2,40})", re.I)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:\-]{2,40})", re.I)
_META_WINDOW = 8_192  # bytes; browsers look at 1,024, real pages put scripts before it


def extract_html(
    html: bytes,
    url: str,
    *,
    charset: str | None = None,
    is_stored: Callable[[str], bool] | None = None,
    captions_in_text: bool = False,
) -> Document | None:
    """Return the document of a page, or None where it holds no text and no image.

    html: the page as sent, decompressed; url: of the page, what its addresses stand against; charset: what the
    HTTP header declares; is_stored: says of an image's address that the dump holds the picture (of an image's
    several addresses such a one is taken; without it the largest is); captions_in_text: whether a caption that an
    image node carries also stands in the text right after the image, as it does on the page and as a training set
    wants it (every source asks for that); without it the text is the page's own alone. The document's origin
    holds the URL and the licence that the page links to; a source that knows more replaces it. The caller bounds the
    size of `html` and its nesting (`pipelines.html_limits`).

    Python's cyclic garbage collector rests meanwhile: what a page makes holds no cycles, so that it would walk
    thousands of objects, some twentieth of the time, to free none of them.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return _document(html, url, charset, is_stored, captions_in_text)
    finally:
        if is_collecting:
            gc.enable()


def _document(
    html: bytes, url: str, charset: str | None, is_stored: Callable[[str], bool] | None, captions_in_text: bool
) -> Document | None:
    tree = LexborHTMLParser(decode_html(html, charset))
    root = tree.root
    if root is None:
        return None
    head = read_head(tree, url)
    blocks = content_blocks(walk(root, head.base_url, is_stored), head)
    nodes = _nodes([block for block in blocks if captions_in_text or not block.is_placed])
    if not nodes:
        return None
    return new_document(nodes, Origin(url=url, licence=head.licence))


def decode_html(html: bytes, charset: str | None = None) -> str:
    """Return the text of a page, decoded by byte order mark, HTTP charset, its own declaration, or detection.

    A declaration that the bytes contradict (declared UTF-8, invalid as such) gives way to detection; what no
    codec can read becomes U+FFFD. Never raises.
    """
    for bom, name in _BOMS:
        if html.startswith(bom):
            return html[len(bom) :].decode(name, "replace")
    for declared in (charset, _declared_in(html)):
        if (known := map_encoding_to_html5(declared, False) if declared else None) is None:
            continue
        try:
            return html.decode(known)
        except (UnicodeDecodeError, LookupError):
            if known != "utf-8":  # a few bad bytes in a legacy page: its declaration is still the best guess
                return _replaced(html, known)
    try:
        return html.decode("utf-8")
    except UnicodeDecodeError:
        return _replaced(html, detect_encoding(html) or "utf-8")


def _replaced(html: bytes, encoding: str) -> str:
    return str(bytes_to_str(html, encoding, errors="replace", fallback_encodings=()))


def _declared_in(html: bytes) -> str | None:
    head = html[:_META_WINDOW]
    match = _XML_ENCODING.search(head) or _META_CHARSET.search(head)
    declared = match[1].decode("ascii", "replace").lower() if match else None
    # A page whose declaration could be read as ASCII is not UTF-16, whatever it says (HTML standard, 13.2.3.3).
    return "utf-8" if declared is not None and declared.startswith("utf-16") else declared


def _nodes(blocks: list[Block]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    run: list[Block] = []
    for block in blocks:
        if block.image is None:
            run.append(block)
        else:
            _end_run(nodes, run)
            nodes.append(block.image)
    _end_run(nodes, run)
    return tuple(nodes)


def _end_run(nodes: list[Node], run: list[Block]) -> None:
    if not run:
        return
    parts = [run[0].text]
    for before, block in pairwise(run):
        parts.append(("\n" if _are_tight(before, block) else "\n\n") + block.text)
    nodes.append(TextNode(text="".join(parts)))
    run.clear()


def _are_tight(before: Block, block: Block) -> bool:
    """Items of a list and rows of several cells follow each other line by line, all else with a blank line."""
    if before.kind != block.kind:
        return False
    return block.kind == "item" or (block.kind == "row" and CELL in before.text and CELL in block.text)
