"""What a head is worth on held-out images: how well it ranks, whether its probabilities mean what they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

THRESHOLDS = (0.1, 0.3, 0.5, 0.8)  # MMC4's for NSFW, and what LAION's users take for watermarks, with two in between
BINS = 10  # of probability, for the calibration error (Guo et al. 2017, section 2)

Array = npt.NDArray[np.float64]


def ranks(values: Array) -> Array:
    """Return the rank of each value, from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)


def auc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve: how often a 1 scores above a 0, ties counted half; NaN without both."""
    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    if not positive or not negative:
        return math.nan
    total = float(ranks(scores)[labels == 1].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def binary_metrics(probabilities: Array, labels: Array) -> dict[str, Any]:
    """Return counts, AUC and its standard error (Hanley and McNeil 1982), Brier score, calibration, thresholds."""
    area = auc(probabilities, labels)
    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (q1 - area**2) + (negative - 1) * (q2 - area**2)
    return {
        "positive": positive,
        "negative": negative,
        "auc": round(area, 4),
        "auc_standard_error": round(math.sqrt(max(0.0, variance) / (positive * negative)), 4),
        "brier": round(float(np.mean((probabilities - labels) ** 2)), 4),
        "calibration_error": round(_calibration_error(probabilities, labels), 4),
        "at": {str(threshold): _at(threshold, probabilities, labels) for threshold in THRESHOLDS},
    }


def _at(threshold: float, probabilities: Array, labels: Array) -> dict[str, float]:
    told, true = probabilities >= threshold, labels == 1
    both = int((told & true).sum())
    return {
        "precision": round(both / max(1, int(told.sum())), 4),
        "recall": round(both / max(1, int(true.sum())), 4),
        "told": round(float(told.mean()), 4),
    }


def _calibration_error(probabilities: Array, labels: Array) -> float:
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    gaps = [
        abs(float(probabilities[bins == at].mean()) - float(labels[bins == at].mean())) * float((bins == at).mean())
        for at in range(BINS)
        if (bins == at).any()
    ]
    return sum(gaps)


def value_metrics(values: Array, labels: Array) -> dict[str, Any]:
    """Return count, mean absolute error, R squared and Spearman's rank correlation."""
    spread = float(np.var(labels))
    correlation = np.corrcoef(ranks(values), ranks(labels))[0, 1] if spread and float(np.var(values)) else math.nan
    return {
        "images": len(labels),
        "mean_absolute_error": round(float(np.mean(np.abs(values - labels))), 4),
        "r_squared": round(1 - float(np.mean((values - labels) ** 2)) / spread, 4) if spread else None,
        "spearman": round(float(correlation), 4),
    }
