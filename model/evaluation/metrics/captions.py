"""Captions against reference captions: BLEU, ROUGE-L and CIDEr-D, as COCO's evaluation computes them.

Formulas: Papineni et al. 2002 with the closest reference length; Lin 2004 with beta 1.2, precision and recall each
the best over the references; Vedantam et al. 2015, CIDEr-D. Every function takes words (see `ptb_words`) of one
caption per image and of its references, images in the same order, and answers in the scale of that evaluation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Words = Sequence[str]
NGRAMS = 4
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0  # words, of the length penalty
TINY, SMALL = 1e-15, 1e-9  # as the original adds them, so that no match gives a very small BLEU instead of an error


@dataclass(frozen=True)
class Bleu:
    """corpus: BLEU-1 to BLEU-4 of all captions; images: the same of each caption."""

    corpus: list[float]
    images: list[list[float]]


def bleu(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> Bleu:
    """Return BLEU-1 to BLEU-4; `captions` and each entry of `references` are not empty."""
    guesses, correct, length, reference_length = [0] * NGRAMS, [0] * NGRAMS, 0, 0
    images = []
    for caption, own in zip(captions, references, strict=True):
        grams, most = _ngrams(caption), Counter[tuple[str, ...]]()
        for reference in own:
            most |= _ngrams(reference)
        words = len(_split(caption))
        closest = min((abs(len(_split(reference)) - words), len(_split(reference))) for reference in own)[1]
        right = [0] * NGRAMS
        for gram, count in grams.items():
            right[len(gram) - 1] += min(most[gram], count)
        tried = [max(0, words - n) for n in range(NGRAMS)]
        images.append(_bleu(right, tried, words, closest))
        guesses = [a + b for a, b in zip(guesses, tried, strict=True)]
        correct = [a + b for a, b in zip(correct, right, strict=True)]
        length, reference_length = length + words, reference_length + closest
    return Bleu(_bleu(correct, guesses, length, reference_length), images)


def _bleu(correct: list[int], guesses: list[int], length: int, reference_length: int) -> list[float]:
    ratio = (length + TINY) / (reference_length + SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    found, product = [], 1.0
    for n in range(NGRAMS):
        product *= (correct[n] + TINY) / (guesses[n] + SMALL)
        found.append(product ** (1 / (n + 1)) * penalty)
    return found


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return ROUGE-L of each caption."""
    found = []
    for caption, own in zip(captions, references, strict=True):
        words = list(caption) or [""]  # a caption without words counts as one empty word, as in the original
        lengths = [(_common(words, list(reference) or [""]), len(reference) or 1) for reference in own]
        precision = max(common for common, _ in lengths) / len(words)
        recall = max(common / length for common, length in lengths)
        if precision == 0 or recall == 0:
            found.append(0.0)
        else:
            found.append((1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision))
    return found


def cider(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return CIDEr-D of each caption; their mean is the score of the set.

    The document frequencies are those of these references, so a caption's figure depends on the whole set.
    """
    grams = [[_ngrams(reference) for reference in own] for own in references]
    seen = Counter(gram for own in grams for gram in set().union(*own))
    log_images = math.log(len(references)) if references else 0.0
    found = []
    for caption, own in zip(captions, grams, strict=True):
        vector = _Vector.of(_ngrams(caption), seen, log_images)
        similarity = sum(_similarity(vector, _Vector.of(reference, seen, log_images)) for reference in own)
        found.append(10.0 * similarity / NGRAMS / len(own))
    return found


@dataclass(frozen=True)
class _Vector:
    """weights: TF-IDF of each n-gram; norms: per n; pairs: 2-grams in the caption, the original's measure of length."""

    weights: dict[tuple[str, ...], float]
    norms: list[float]
    pairs: int

    @staticmethod
    def of(grams: Counter[tuple[str, ...]], seen: Counter[tuple[str, ...]], log_images: float) -> _Vector:
        weights, squares, pairs = {}, [0.0] * NGRAMS, 0
        for gram, count in grams.items():
            weights[gram] = count * (log_images - math.log(max(1.0, seen[gram])))
            squares[len(gram) - 1] += weights[gram] ** 2
            pairs += count if len(gram) == 2 else 0
        return _Vector(weights, [math.sqrt(square) for square in squares], pairs)


def _similarity(caption: _Vector, reference: _Vector) -> float:
    """Return the sum over n of the clipped cosine, times the length penalty."""
    products = [0.0] * NGRAMS
    for gram, weight in caption.weights.items():
        other = reference.weights.get(gram, 0.0)
        products[len(gram) - 1] += min(weight, other) * other
    total = 0.0
    for product, norm, other_norm in zip(products, caption.norms, reference.norms, strict=True):
        total += product / (norm * other_norm) if norm and other_norm else product
    return total * math.exp(-((caption.pairs - reference.pairs) ** 2) / (2 * CIDER_SIGMA**2))


def _split(words: Words) -> list[str]:
    """Return the words as the n-gram metrics split them: also at the no-break space inside a telephone number."""
    return " ".join(words).split()


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    own = _split(words)
    return Counter(tuple(own[i : i + n]) for n in range(1, NGRAMS + 1) for i in range(len(own) - n + 1))


def _common(left: list[str], right: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    before = [0] * (len(right) + 1)
    for word in left:
        row = [0]
        for j, other in enumerate(right):
            row.append(before[j] + 1 if word == other else max(before[j + 1], row[j]))
        before = row
    return before[-1]
