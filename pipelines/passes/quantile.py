"""Where the best share of a whole set begins, found batch after batch: no column is held, and the value is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.rules import BestFraction
from pipelines.facts import BatchedFacts, Facts

_DIGIT = 16  # bits that a round finds: 65,536 counts
_SIGN = np.uint64(1 << 63)


def cut_of(facts: BatchedFacts, rule: BestFraction, values_of: Callable[[Facts], npt.NDArray[Any]]) -> float:
    """Return the smallest value that passes a rule, NaN where nothing was measured; values_of: what it asks of a batch.

    As `BestFraction.cut` of the whole column. A number's bits, with those of negative ones turned, are in its order,
    so four counts of 16 bits each, of those numbers that begin as found so far, end at the one sought.
    """
    prefix, place = np.uint64(0), -1
    for digit in range(64 // _DIGIT):
        shift = np.uint64(64 - _DIGIT * (digit + 1))
        counts = np.zeros(1 << _DIGIT, dtype=np.int64)
        for part in facts.batches():
            keys = _ordered_bits(np.asarray(values_of(part), dtype=np.float64))
            if digit:
                keys = keys[keys >> (shift + np.uint64(_DIGIT)) == prefix]
            counts += np.bincount((keys >> shift & np.uint64(0xFFFF)).astype(np.int64), minlength=len(counts))
        if not digit:
            if not (size := int(counts.sum())):
                return math.nan
            place = size - 1 - min(int(rule.bound * size), size - 1)
        ends = np.cumsum(counts)
        found = int(np.searchsorted(ends, place, side="right"))
        place -= int(ends[found - 1]) if found else 0
        prefix = prefix << np.uint64(_DIGIT) | np.uint64(found)
    bits = prefix ^ _SIGN if prefix & _SIGN else ~prefix
    return float(np.array([bits], dtype=np.uint64).view(np.float64)[0])


def _ordered_bits(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return the measured numbers as bits that are ordered as they are; 0 and -0 are one."""
    bits = (numbers[~np.isnan(numbers)] + 0.0).view(np.uint64)
    return np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)
