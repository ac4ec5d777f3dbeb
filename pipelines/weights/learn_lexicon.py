"""Weights of words from labelled blocks: each site has one vote per word, so that no large site decides alone."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIN_SITES = 3  # that use a word, below which it says nothing of other sites
PRIOR = 8.0  # votes that every word has beforehand, half of them for content
MIN_WEIGHT = 0.2  # log-odds; words below are left out, most of all words and no loss on unseen sites
DECIMALS = 2


@dataclass(frozen=True, slots=True)
class LabelledBlock:
    """words: without repeats (`pipelines.html_words.page_words`); share: of content; size: weight on its site."""

    words: Sequence[str]
    share: float
    size: float


@dataclass(frozen=True, slots=True)
class Votes:
    """by_site: site -> word -> share of its blocks with the word that are content; yes, sites: sums over all sites."""

    by_site: Mapping[str, Mapping[str, float]]
    yes: Mapping[str, float]
    sites: Counter[str]


def site_votes(blocks: Iterable[LabelledBlock]) -> dict[str, float]:
    """Return what the blocks of one site say: word -> share of content of the blocks that have it."""
    content: defaultdict[str, float] = defaultdict(float)
    total: defaultdict[str, float] = defaultdict(float)
    for block in blocks:
        for word in block.words:
            total[word] += block.size
            content[word] += block.size * block.share
    return {word: content[word] / size for word, size in total.items()}


def count_votes(by_site: Mapping[str, Mapping[str, float]]) -> Votes:
    """Return the votes of many sites with their sums."""
    yes: defaultdict[str, float] = defaultdict(float)
    sites: Counter[str] = Counter()
    for _, shares in sorted(by_site.items()):
        for word, share in shares.items():
            yes[word] += share
            sites[word] += 1
    return Votes(by_site, yes, sites)


def lexicon(votes: Votes) -> dict[str, float]:
    """Return the log-odds of content per word, from all sites."""
    found = {word: _weight(votes.yes[word], count) for word, count in sorted(votes.sites.items())}
    return {word: weight for word, weight in found.items() if weight is not None}


def without_site(known: dict[str, float], votes: Votes, site: str) -> dict[str, float]:
    """Return the lexicon as if `site` had not voted: what a model learns from must look like an unseen site."""
    changed = dict(known)
    for word, share in votes.by_site.get(site, {}).items():
        weight = _weight(votes.yes[word] - share, votes.sites[word] - 1)
        if weight is None:
            changed.pop(word, None)
        else:
            changed[word] = weight
    return changed


def _weight(yes: float, sites: int) -> float | None:
    if sites < MIN_SITES:
        return None
    weight = round(math.log((yes + PRIOR / 2) / (sites - yes + PRIOR / 2)), DECIMALS)
    return weight if abs(weight) >= MIN_WEIGHT else None
