"""Fits heads: linear ones exactly (Newton's method), deeper ones by seeded full-batch descent with early stopping."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.weights.head_metrics import auc

Array = npt.NDArray[np.float64]
Layers = list[tuple[Array, Array]]
"""(weight [out, in], bias [out]) of each linear layer, ReLU in between."""
Part = tuple[Array, Array]

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # the one that is best on the tuning part, of equals the first
NEWTON_STEPS = 50
TOLERANCE = 1e-9
EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 400, 3e-3, 1e-2  # of a network; measured on vectors of a small CLIP


@dataclass(frozen=True)
class Weights:
    """A fitted head: mean and variance [D] of what it was trained on, and its layers."""

    mean: Array
    variance: Array
    layers: Layers


def standardised(vectors: Array) -> tuple[Array, Array]:
    """Return mean and variance [D]; a number that never varies gets variance 1, so that it says nothing."""
    variance = vectors.var(axis=0)
    return vectors.mean(axis=0), np.where(variance > 1e-12, variance, 1.0)


def fit_linear(train: Part, tune: Part, *, is_binary: bool) -> Layers:
    """Return one linear layer: logistic or least-squares regression, the penalty chosen on the tuning part."""
    best: tuple[float, Layers] | None = None
    for penalty in PENALTIES:
        weight, bias = _logistic(*train, penalty) if is_binary else _ridge(*train, penalty)
        layers: Layers = [(weight[None], np.array([bias]))]
        found = forward(layers, tune[0])
        worth = auc(found, tune[1]) if is_binary else -float(np.mean((found - tune[1]) ** 2))
        if best is None or worth > best[0]:
            best = worth, layers
    assert best is not None
    return best[1]


def forward(layers: Layers, inputs: Array) -> Array:
    """Return the output of each row, [N], before any sigmoid."""
    hidden = inputs
    for number, (weight, bias) in enumerate(layers):
        hidden = hidden @ weight.T + bias
        hidden = np.maximum(hidden, 0.0) if number < len(layers) - 1 else hidden
    return np.asarray(hidden[:, 0])


def _logistic(inputs: Array, labels: Array, penalty: float) -> tuple[Array, float]:
    """Return (weight, bias) at the minimum of mean log loss + penalty/2 |weight|^2, by Newton's method."""
    design = np.hstack([inputs, np.ones((len(inputs), 1))])
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 1e-9  # the bias is free
    found = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        told = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        gradient = design.T @ (told - labels) / len(labels) + ridge * found
        curvature = (design * (told * (1 - told))[:, None]).T @ design / len(labels) + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        found = found - step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return found[:-1], float(found[-1])


def _ridge(inputs: Array, labels: Array, penalty: float) -> tuple[Array, float]:
    centre = float(labels.mean())  # the inputs are centred already
    matrix = inputs.T @ inputs / len(inputs) + penalty * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(matrix, inputs.T @ (labels - centre) / len(inputs))), centre


def fit_network(train: Part, tune: Part, *, is_binary: bool, hidden: Sequence[int], seed: int) -> Layers:
    """Return the layers of the epoch that is best on the tuning part; hidden: sizes between in and out."""
    import torch
    from torch import nn

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums do not depend on how work was divided
    try:
        generator = torch.Generator().manual_seed(seed)
        sizes = [train[0].shape[1], *hidden, 1]
        linears = [nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes)]
        for linear in linears:
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(linear.bias)
        between = [part for linear in linears for part in (linear, nn.ReLU())][:-1]
        network = nn.Sequential(*between)
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        loss = nn.BCEWithLogitsLoss() if is_binary else nn.MSELoss()
        (train_x, train_y), (tune_x, tune_y) = (tuple(map(torch.from_numpy, part)) for part in (train, tune))
        best, kept = np.inf, [(linear.weight.detach().clone(), linear.bias.detach().clone()) for linear in linears]
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            loss(network(train_x)[:, 0], train_y).backward()
            optimizer.step()
            with torch.no_grad():
                worth = float(loss(network(tune_x)[:, 0], tune_y))
            if worth < best:
                best, kept = worth, [(one.weight.detach().clone(), one.bias.detach().clone()) for one in linears]
    finally:
        torch.set_num_threads(threads)
    return [(weight.numpy(), bias.numpy()) for weight, bias in kept]


def platt(layers: Layers, tune: Part) -> Layers:
    """Return the layers with their output scaled and shifted so that its sigmoid is a probability (Platt 1999).

    Labels are drawn in by Platt's rule, so that a part that is told apart perfectly does not scale without end.
    """
    outputs = forward(layers, tune[0])
    positive, negative = float((tune[1] == 1).sum()), float((tune[1] == 0).sum())
    drawn_in = np.where(tune[1] == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    spread = float(outputs.std()) or 1.0
    weight, bias = _logistic((outputs / spread)[:, None], drawn_in, 1e-9)
    scale = float(weight[0]) / spread
    last_weight, last_bias = layers[-1]
    return [*layers[:-1], (last_weight * scale, last_bias * scale + bias)]
