"""Does the page itself say that an image is decoration: its URL, or the size it declares? Asked before the fetch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from infimm_data.document import ImageNode, Measure
from infimm_data.rules import AtLeast, Level, OneOf, Rule, check_bounds

WORDS = (
    "logo", "button", "icon", "plugin", "widget",  # MMC4 (Zhu et al. 2023, section 3)
    "avatar", "gravatar", "favicon", "logotype", "emoji", "smiley",  # people and marks, MINT-1T's avatar among them
    "badge", "sprite", "spacer", "pixel", "placeholder", "captcha",  # layout, counting and loading
)  # fmt: skip
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # "siteLogo2x" is site, Logo, x


@dataclass(frozen=True, kw_only=True)
class ImageUrl:
    """Drops images that announce themselves as icons, so that they are never fetched.

    words: looked for in the path of the URL as whole words, singular or plural, in any case, also inside
    camelCase: "logo" is found in "/img/siteLogo.png" but not in "/catalogo/1.jpg" (MMC4 looks for substrings and
    loses "silicon" and "catalogo"). A photo named after one of the words is lost too ("google-pixel.jpg").
    keep_schemes: URL schemes that stay. min_declared_side: pixels, inclusive, of the shorter side that the page
    declares; an image without a declared size stays. Default 50, ours: below the smallest thumbnail (OBELICS
    asks 150 of the rendered size, and loses photos that the page shows small).
    """

    level: ClassVar[Level] = "image"
    words: tuple[str, ...] = WORDS
    keep_schemes: tuple[str, ...] = ("http", "https", "data")
    min_declared_side: int | None = 50

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that nothing can meet."""
        check_bounds(self)

    def measure_node(self, node: ImageNode) -> Mapping[str, Measure]:
        """Return `image_url_scheme`, `image_url_word` (the first found, or "") and `declared_short_side`."""
        scheme, path = _scheme_and_path(node.url)
        declared = [side for side in (node.width, node.height) if side is not None]
        return {
            "image_url_scheme": scheme,
            "image_url_word": "" if scheme == "data" else self._first_word(path),
            "declared_short_side": min(declared, default=None),
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules: scheme, words, declared size."""
        declared = self.min_declared_side
        return (
            OneOf("image_url_scheme", self.keep_schemes, "image_url_scheme"),
            OneOf("image_url_word", ("",), "image_url_word"),
            *(() if declared is None else (AtLeast("declared_short_side", declared, "image_declared_small", True),)),
        )

    def _first_word(self, path: str) -> str:
        wanted = {form: word for word in self.words for form in (word.lower(), f"{word.lower()}s")}
        return next((wanted[token] for match in _TOKEN.findall(path) if (token := match.lower()) in wanted), "")


def _scheme_and_path(url: str) -> tuple[str, str]:
    """Return the scheme in lower case and the unquoted path; ("", "") of what is no URL at all."""
    if url[:5].lower() == "data:":
        return "data", ""
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://[broken"
        return "", ""
    return parts.scheme.lower(), unquote(parts.path)
