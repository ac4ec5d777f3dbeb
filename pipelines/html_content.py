"""Which blocks of a page are its content: navigation, advertising, comments and other boilerplate go.

A trained model says how likely each block is content (`pipelines.content_model`); here that is turned into a
choice. Texts are chosen so that the F1 that is to be expected of the choice is the largest: a page of which the
model is sure gets a strict choice, one of which it is not a generous one. A caption stays with its image.
"""

from __future__ import annotations

import numpy as np

from pipelines.content_model import load_model
from pipelines.html_blocks import Block, Page
from pipelines.html_features import Floats
from pipelines.html_head import Head

MIN_IMAGE_PROBABILITY = 0.5  # of an image; equal numbers of wrong images and of missed ones on unseen pages


def content_blocks(page: Page, head: Head) -> list[Block]:
    """Return the blocks of `page` that are content, in order; at least one where the page has any text."""
    if not page.blocks:
        return []
    kept = choose(page, load_model().probabilities(page, head))
    return [block for block, is_kept in zip(page.blocks, kept, strict=True) if is_kept]


def choose(page: Page, probabilities: Floats) -> list[bool]:
    """Return per block whether it is kept; probabilities: [blocks]."""
    sizes = np.fromiter((len(block.text) for block in page.blocks), np.float64, len(page.blocks))
    noscript = below(page, "noscript")
    is_text = (sizes > 0) & ~noscript
    if not is_text.any():
        is_text = sizes > 0
    kept = np.zeros(len(sizes), bool)
    if is_text.any():
        kept[is_text] = best_choice(probabilities[is_text], sizes[is_text])
    is_image = np.array([block.image is not None for block in page.blocks])
    kept[is_image] = (probabilities[is_image] >= MIN_IMAGE_PROBABILITY) | (not is_text.any())
    last_image = False
    for at, block in enumerate(page.blocks):
        if block.image is not None:
            last_image = bool(kept[at])
        elif block.is_placed:
            kept[at] = last_image
    return [bool(value) for value in kept]


def best_choice(probabilities: Floats, sizes: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return [texts]: the choice, among all "those above a threshold", whose expected F1 is the largest.

    With p the probability and s the size of a text, a choice C has the expected F1 of about
    2 * sum over C of p*s / (sum over C of s + sum over all of p*s): both parts of F1 are sums over texts.
    """
    order = np.argsort(-probabilities, kind="stable")
    right = np.cumsum(probabilities[order] * sizes[order])
    chosen = np.cumsum(sizes[order])
    best = int(np.argmax(2 * right / (chosen + right[-1] + 1e-9)))
    return np.asarray(probabilities >= probabilities[order[best]])


def below(page: Page, tag: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return [blocks]: whether the block stands inside an element of that name."""
    inside = [False] * len(page.containers)
    for at, container in enumerate(page.containers):
        inside[at] = container.tag == tag or (at > 0 and inside[container.parent])
    return np.array([inside[block.container] for block in page.blocks])
