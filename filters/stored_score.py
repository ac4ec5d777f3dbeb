"""Is what the dump itself measured within bounds: LAION's similarity and punsafe, COYO's watermark and NSFW scores?"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from infimm_data.errors import ConfigError
from infimm_data.rules import DUMP_PREFIX, AtLeast, AtMost, BestFraction, Level, OneOf, Rule

_NO_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class StoredScore:
    """at_least, at_most: inclusive bounds by column of the dump, {similarity: 0.28}; one_of: {NSFW: [UNLIKELY]}; best:
    the share of the whole set that stays, its largest values, {clip_l14_similarity_score: 0.3}.

    of: whose measures these are, each "image"'s or the "document"'s. keep_unknown: whether what the dump did not
    measure stays, a column that it does not have at all included; without it such a column stops the build and is
    named. Only stored values are compared: a changed bound costs no new pass.
    """

    of: Literal["image", "document"] = "image"
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    one_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    keep_unknown: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError on bounds that are no numbers, that nothing can meet, or that are no share."""
        for name, bound in (*self.at_least.items(), *self.at_most.items()):
            if math.isnan(bound):
                raise ConfigError(f"the bound of '{name}' is not a number; write a number, or leave the column out")
        for name, low in self.at_least.items():
            if low > self.at_most.get(name, low):
                raise ConfigError(
                    f"at_least of '{name}' is {low}, above at_most {self.at_most[name]}: nothing could pass; swap them"
                )

        for name, share in self.best.items():
            if not 0 < share <= 1:
                raise ConfigError(f"best of '{name}' is {share}; expected a share above 0 and at most 1, e.g. 0.3")

    @property
    def level(self) -> Level:
        """What a drop drops."""
        return self.of

    def rules(self) -> tuple[Rule, ...]:
        """Return a rule per bound, lower bounds first, in the order in which they are written."""
        unknown = self.keep_unknown
        return (
            *(AtLeast(_measure(name), low, _reason(name, "low"), unknown) for name, low in self.at_least.items()),
            *(AtMost(_measure(name), high, _reason(name, "high"), unknown) for name, high in self.at_most.items()),
            *(
                BestFraction(_measure(name), share, _reason(name, "not_best"), unknown)
                for name, share in self.best.items()
            ),
            *(OneOf(_measure(name), slugs, _reason(name, "unwanted"), unknown) for name, slugs in self.one_of.items()),
        )


def _measure(name: str) -> str:
    return f"{DUMP_PREFIX}{name}"


def _reason(name: str, answer: str) -> str:
    return f"{DUMP_PREFIX}{_NO_SLUG.sub('_', name.lower()).strip('_')}_{answer}"
