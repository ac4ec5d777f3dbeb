"""Masks what leads to a person: mail addresses, telephone numbers and internet addresses in texts, captions, alt texts.

datatrove masks mail and internet addresses with two patterns, and no telephone numbers. Here each candidate is asked
of a library that knows the plan of numbers: `phonenumbers` (Google's libphonenumber) and Python's `ipaddress`, so
that version numbers, dates and prices stay.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from phonenumbers import SUPPORTED_REGIONS, Leniency, PhoneNumberMatcher

from infimm_data.document import Document, ImageNode, Node
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.rules import Level, Rule

# A dot-atom and a domain of labels (RFC 5322 3.2.3, RFC 1035 2.3.1), each part bounded so that no page takes long.
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-]{1,64}(?:\.[\w+%-]{1,64}){0,8}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])"
)
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f:]{1,39})(?![\w:]|\.\d)")
_DIGITS = re.compile(r"(?:\d\W{0,3}){6}\d")  # the shortest national numbers have seven digits
_TRIES = 1_000  # of the matcher on one line: bounds the time that a line of digits takes


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """email, phone, ip: whether each kind is masked; public addresses of IPv4 and IPv6 only, as FineWeb does.

    regions: ISO 3166 codes of the countries whose national form ("(888) 667-1411") counts as a number; the
    international form ("+49 30 901820") always does. mask: what stands in the place, `{}` being the kind.
    """

    level: ClassVar[Level] = "document"
    email: bool = True
    phone: bool = True
    ip: bool = True
    regions: tuple[str, ...] = ("US",)
    mask: str = "[{}]"

    def __post_init__(self) -> None:
        """Raise ConfigError on a region that has no numbering plan, and on a mask that would hide the kind."""
        for region in self.regions:
            if region not in SUPPORTED_REGIONS:
                near = did_you_mean(region, tuple(sorted(SUPPORTED_REGIONS)))
                raise ConfigError(f"regions: '{region}' is no ISO 3166 code of a country.{near} Write US or GB")
        if self.mask.count("{}") != 1:
            raise ConfigError(f"mask is '{self.mask}'; expected a text with one {{}} for the kind, such as [{{}}]")

    def edit(self, document: Document) -> tuple[Document, Mapping[str, int]]:
        """Return the document with its masks, and how many of each: `email_masked`, `phone_masked`, `ip_masked`."""
        counts: Counter[str] = Counter()
        nodes = tuple(self._node(node, counts) for node in document.nodes)
        return replace(document, nodes=nodes), counts

    def rules(self) -> tuple[Rule, ...]:
        """Return none: an edit drops no document."""
        return ()

    def _node(self, node: Node, counts: Counter[str]) -> Node:
        if isinstance(node, ImageNode):  # not counted: a caption stands in the text, too
            return replace(node, alt=self._text(node.alt, Counter()), caption=self._text(node.caption, Counter()))
        return replace(node, text=self._text(node.text, counts))

    def _text(self, text: str, counts: Counter[str]) -> str:
        if self.email and "@" in text:
            text = self._masked("email", _EMAIL, lambda found: True, text, counts)
        if self.ip:
            text = self._masked("ip", _IP, _is_public, text, counts)
        if self.phone and _DIGITS.search(text):
            text = "\n".join(self._phones(line, counts) for line in text.split("\n"))
        return text

    def _masked(
        self, kind: str, pattern: re.Pattern[str], is_one: Callable[[str], bool], text: str, counts: Counter[str]
    ) -> str:
        def place(match: re.Match[str]) -> str:
            if not is_one(match.group()):
                return match.group()
            counts[f"{kind}_masked"] += 1
            return self.mask.format(kind)

        return pattern.sub(place, text)

    def _phones(self, line: str, counts: Counter[str]) -> str:
        """Return a line with its numbers masked; the matcher is asked only where seven digits stand close together."""
        if not _DIGITS.search(line):
            return line
        for region in self.regions or (None,):
            found = list(PhoneNumberMatcher(line, region, leniency=Leniency.VALID, max_tries=_TRIES))
            for match in reversed(found):
                line = line[: match.start] + self.mask.format("phone") + line[match.end :]
            if found:
                counts["phone_masked"] += len(found)
        return line


def _is_public(candidate: str) -> bool:
    try:
        return ipaddress.ip_address(candidate).is_global
    except ValueError:
        return False
