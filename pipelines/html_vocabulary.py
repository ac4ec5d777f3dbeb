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
FIGURE_WORDS = ("caption", "thumb", "figure", "image", "img", "photo", "media")  # one of them stands in any match
CAPTION_CLASS = re.compile(r"(?:^|[\s_-])(?:\w*caption)(?:[\s_-]|$)", re.I)
GLYPH_CLASS = re.compile(r"\b(?:emoji|emoticon|smiley|wp-smiley|tracking|pixel|spacer)\b", re.I)

BOILERPLATE_ROLES = _names(
    "navigation banner contentinfo complementary search menu menubar dialog alertdialog toolbar tablist"
)
# What a class or id says, its parts ("post-content", "post_content") written together.
BOILERPLATE_NAMES = _names(
    "nav navbar navigation menu submenu megamenu topbar toolbar sidebar rail breadcrumb breadcrumbs crumb crumbs "
    "footer foot masthead share sharing sharebar social follow cookie cookies consent gdpr ccpa banner copyright "
    "ad ads advert advertisement adsense sponsor sponsored promo promotion outbrain taboola disclaimer "
    "related recommended recommendation recommendations popular trending newsletter subscribe subscription signup "
    "login modal popup overlay pagination pager paging tags tagcloud search widget widgets skip skiplink "
    "printonly sronly visuallyhidden screenreadertext noprint toc authorbox authorbio"
)
NEGATIONS = _names("has with no")  # "has-sidebar" says something about the whole page
COMMENTS_NAMES = _names("comment comments commentlist disqus respond replies")
CONTENT_NAMES = _names(
    "articlebody postcontent entrycontent articlecontent storybody postbody mwparseroutput pagecontent maincontent "
    "blogpost"
)
