"""Pairs that are alike into groups: what text and image deduplication share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]


def smallest_of_group(size: int, left: Positions, right: Positions) -> Positions:
    """Return for each of `size` positions the smallest position that pairs connect it with; its own when alone.

    left, right: the two ends of each pair, any order, repeats allowed, each in 0..size-1. The answer depends on
    the set of pairs only, so not on how the work was split. Labels are lowered along pairs and then along
    themselves until nothing changes (Shiloach and Vishkin 1982): O(log size) rounds of vectorised work.
    """
    labels = np.arange(size, dtype=np.int64)
    while True:
        lowest = np.minimum(labels[left], labels[right])
        lowered = labels.copy()
        for ends in (left, right):
            np.minimum.at(lowered, labels[ends], lowest)  # hook the root of the higher end to the lower label
        while True:  # shortcut: follow labels to their roots
            followed = lowered[lowered]
            if np.array_equal(followed, lowered):
                break
            lowered = followed
        if np.array_equal(lowered, labels):
            return labels
        labels = lowered


def group_counts(groups: Positions, documents: Positions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per image the distinct documents of its group, and how often the group came before in its document.

    groups, documents: a number of each image's group and document; images in reading order.
    """
    span = int(documents.max(initial=0)) + 1  # a pair as one number: ten times as fast as unique rows
    distinct, pair_of = np.unique(groups * span + documents, return_inverse=True)
    per_group = np.bincount(distinct // span, minlength=int(groups.max(initial=-1)) + 1)
    order = np.argsort(pair_of, kind="stable")  # rows are in reading order, and stay so within a pair
    starts = np.searchsorted(pair_of[order], pair_of[order], side="left")
    repeats = np.empty(len(groups))
    repeats[order] = np.arange(len(groups)) - starts
    return per_group[groups].astype(np.float64), repeats
