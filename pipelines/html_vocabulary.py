"""What the names of HTML mean for reading: element names, roles, and the words in class and id.

The words are those that the generators of most pages use (WordPress, Drupal, Discourse, Shopify, Bootstrap,
MediaWiki, vBulletin and the big news systems); none names a single site.
"""

from __future__ import annotations

import re
from typing import Literal

BlockKind = Literal["paragraph", "heading", "item", "row", "quote", "code", "caption", "image"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Elements whose text is no reading text: controls, embedded things, labels of drawings.
UNREAD = _names(
    "script style template head title meta link iframe frame frameset object embed applet canvas audio video svg "
    "button select option optgroup input textarea datalist dialog map area progress meter annotation "
    "annotation-xml rp param track -comment -doctype"
)
CONTAINERS = _names(
    "body main article section div header footer nav aside ul ol dl menu table form figure details center "
    "fieldset td th blockquote noscript"
)
BREAKS = CONTAINERS | _names("p dt address hr legend summary caption thead tbody tfoot hgroup search")
BLOCK_KINDS: dict[str, BlockKind] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"),
    **dict.fromkeys(("li", "dd"), "item"),
    **dict.fromkeys(("pre", "listing", "xmp", "plaintext"), "code"),
    "tr": "row",
    "blockquote": "quote",
    "figcaption": "caption",
}
CELLS = frozenset(("td", "th"))

FIGURE_CLASS = re.compile(
    r"\bwp-caption\b|\bthumbinner\b|\bthumb\b|(?:^|[\s_-])(?:figure|image|img|photo|media)\b", re.I
)
CAPTION_CLASS = re.compile(r"(?:^|[\s_-])(?:\w*caption)(?:[\s_-]|$)", re.I)
GLYPH_CLASS = re.compile(r"\b(?:emoji|emoticon|smiley|wp-smiley|tracking|pixel|spacer)\b", re.I)

BOILERPLATE_ROLES = _names(
    "navigation banner contentinfo complementary search menu menubar dialog alertdialog toolbar tablist"
)
_WORDS = "|".join(
    (
        r"nav|navbar|navigation|menu|submenu|megamenu|topbar|toolbar|sidebar|side[-_]?bar|rail|breadcrumbs?|crumbs?",
        r"footer|foot|masthead|share|sharing|sharebar|social|follow|cookies?|consent|gdpr|ccpa|banner|copyright",
        r"ad|ads|advert|advertisement|adsense|sponsor|sponsored|promo|promotion|outbrain|taboola|disclaimer",
        r"related|recommended|recommendations?|popular|trending|newsletter|subscribe|subscription|signup|sign[-_]?up",
        r"login|modal|popup|overlay|pagination|pager|paging|tags|tagcloud|search|widget|widgets|skip|skip[-_]?link",
        r"print[-_]?only|sr[-_]?only|visually[-_]?hidden|screen[-_]?reader[-_]?text|noprint|toc",
        r"author[-_]?box|author[-_]?bio",
    )
)
_EDGE = r"(?<!has[-_])(?<!with[-_])(?<!no[-_])"  # "has-sidebar" says something about the whole page
BOILERPLATE_NAME = re.compile(rf"(?:^|[\s_-]){_EDGE}(?:{_WORDS})(?=$|[\s_-])", re.I)
COMMENTS_NAME = re.compile(r"(?:^|[\s_-])(?:comments?|comment[-_]?list|disqus\w*|respond|replies)(?=$|[\s_-])", re.I)
CONTENT_NAME = re.compile(
    r"(?:^|[\s_-])(?:article[-_]?body|post[-_]?content|entry[-_]?content|article[-_]?content|story[-_]?body|"
    r"post[-_]?body|mw[-_]?parser[-_]?output|page[-_]?content|main[-_]?content|blog[-_]?post)(?=$|[\s_-])",
    re.I,
)
