"""Which blocks of a page are its content: navigation, advertising, comments and other boilerplate go.

A trained model says how likely each block is content (`pipelines.content_model`); here that is turned into a
choice. Texts are chosen so that the F measure that is to be expected of the choice is the largest: a page of which
the model is sure gets a strict choice, one of which it is not a generous one. What stands outside the main element
goes, and a caption stays with its image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.content_model import load_model
from pipelines.html_blocks import Block, Page
from pipelines.html_features import Floats
from pipelines.html_head import Head

MIN_IMAGE_PROBABILITY = 0.3  # of an image: a wrong one meets further filters, a missed one is lost
SHORT_PAGE = 250  # characters of text: below, a page is a fragment, unlike those that the model has learned from
MIN_IN_SHORT_PAGE = 0.15  # probability of a text or an image of such a page
UNSURE = 0.5  # a page whose best text is less likely than this is unlike any that the model knows
MIN_OF_BEST = 1 / 3  # of the best text's probability: what such a page keeps
RECALL_WEIGHT = 0.8  # beta squared of the F measure: of 0.5 to 1, what did best on unseen sites over all sets
MIN_SHARE = {"main": 0.25, "article": 0.7}  # of the content that the largest such element must hold to be believed

Mask = NDArray[np.bool_]


def content_blocks(page: Page, head: Head) -> list[Block]:
    """Return the blocks of `page` that are content, in order; at least one where the page has any text."""
    if not page.blocks:
        return []
    kept = choose(page, load_model().probabilities(page, head))
    return [block for block, is_kept in zip(page.blocks, kept, strict=True) if is_kept]


def choose(page: Page, probabilities: Floats) -> list[bool]:
    """Return per block whether it is kept; probabilities: [blocks]."""
    sizes = np.fromiter((len(block.text) for block in page.blocks), np.float64, len(page.blocks))
    kept = np.zeros(len(sizes), bool)
    is_text = _readable(page, sizes)
    if is_text.any():
        kept[is_text] = best_choice(probabilities[is_text], sizes[is_text])
        _keep_to_main(page, kept, sizes)
    is_image = np.array([block.image is not None for block in page.blocks])
    least = MIN_IMAGE_PROBABILITY if sizes.sum() >= SHORT_PAGE else MIN_IN_SHORT_PAGE
    kept[is_image] = (probabilities[is_image] >= least) | (not is_text.any())
    is_with_image = False
    for at, block in enumerate(page.blocks):
        if block.image is not None:
            is_with_image = bool(kept[at])
        elif block.is_placed:
            kept[at] = is_with_image
    return list(kept.tolist())


def best_choice(probabilities: Floats, sizes: NDArray[np.float64]) -> Mask:
    """Return [texts]: the choice, among all "those above a threshold", whose expected F measure is the largest.

    With p the probability and s the size of a text, the F measure of a choice C is in expectation about
    (1 + b) * sum over C of p*s / (sum over C of s + b * sum over all of p*s), b being `RECALL_WEIGHT`.
    """
    order = np.argsort(-probabilities, kind="stable")
    right = np.cumsum(probabilities[order] * sizes[order])
    chosen = np.cumsum(sizes[order])
    cut = int(np.argmax(right / (chosen + RECALL_WEIGHT * right[-1] + 1e-9)))
    least = float(probabilities[order[cut]])
    best = float(probabilities[order[0]])
    if sizes.sum() < SHORT_PAGE:
        least = min(least, MIN_IN_SHORT_PAGE)
    if best < UNSURE:
        least = min(least, best * MIN_OF_BEST)
    return np.asarray(probabilities >= least)


def _readable(page: Page, sizes: NDArray[np.float64]) -> Mask:
    """Return [blocks]: the texts, without those for readers without scripts, unless there are no others."""
    is_text = sizes > 0
    noscripts = _containers(page, [kind.tag == "noscript" for kind in page.kinds[0]])
    shown = is_text & ~page.regions.inside(noscripts) if noscripts else is_text
    return shown if shown.any() else is_text


def _keep_to_main(page: Page, kept: Mask, sizes: NDArray[np.float64]) -> None:
    """Drop the texts outside the largest main element, and then outside the largest article, where believed."""
    for tag, least in MIN_SHARE.items():
        roots = _containers(page, [kind.tag == tag or kind.role == tag for kind in page.kinds[0]])
        if not roots:
            continue
        held = page.regions.sums((kept * sizes)[None])[0]
        largest = max(roots, key=lambda at: float(held[at]))
        if held[largest] >= least * held[0]:
            kept &= page.regions.inside([largest])


def _containers(page: Page, is_wanted: list[bool]) -> list[int]:
    """Return the positions of the containers of some kinds; is_wanted: [kinds]."""
    return np.flatnonzero(np.array(is_wanted)[page.kinds[1]]).tolist() if any(is_wanted) else []
