"""Is the image on a list of addresses that the user brings? Asked before the fetch: opt-outs, stock sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import ImageNode, Measure
from infimm_data.errors import ConfigError
from infimm_data.list_files import files_of, first_match, url_list, urls_of
from infimm_data.rules import Level, OneOf, Rule


@dataclass(frozen=True, kw_only=True)
class ImageUrlList:
    """block, allow: files of domains ("example.org", its subdomains with it) and addresses ("example.org/shop", all
    below it with it), one a line. An image on both is dropped; one without a host (`data:`) is on no list.
    """

    level: ClassVar[Level] = "image"
    file_settings: ClassVar[tuple[str, ...]] = ("block", "allow")
    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    _block = urls_of("block")
    _allow = urls_of("allow")

    def __post_init__(self) -> None:
        """Raise ConfigError when no list is named."""
        if not files_of(self):
            raise ConfigError("names no list; give `block` or `allow`, files of domains and addresses, one per line")

    def check_files(self) -> None:
        """Raise ConfigError when a list cannot be read."""
        for path in files_of(self):
            url_list(path)

    def measure_node(self, node: ImageNode) -> Mapping[str, Measure]:
        """Return `image_url_blocked` (the entry, or "") and `image_url_allowed` ("yes", "no"; None without list)."""
        return {
            "image_url_blocked": first_match(self._block, node.url),
            "image_url_allowed": ("yes" if first_match(self._allow, node.url) else "no") if self.allow else None,
        }

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of both lists."""
        return (
            OneOf("image_url_blocked", ("",), "image_url_blocked"),
            OneOf("image_url_allowed", ("yes",), "image_url_not_allowed", or_unknown=True),
        )
