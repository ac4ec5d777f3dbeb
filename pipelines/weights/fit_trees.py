"""Fit the oblivious trees of the content model with CatBoost (Apache-2.0; needed for training only)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.content_model import Trees
from pipelines.html_features import Floats

TEXT: Mapping[str, Any] = {"iterations": 220, "depth": 6, "learning_rate": 0.1, "rsm": 0.3}
IMAGE: Mapping[str, Any] = {"iterations": 250, "depth": 4, "learning_rate": 0.06, "rsm": 0.15, "l2_leaf_reg": 20}
IMAGE_SEEDS = 3  # fits whose mean is taken: with so few images, one differs by two percent from the next
COMMON: Mapping[str, Any] = {
    "bootstrap_type": "Bernoulli",
    "subsample": 0.6,
    "border_count": 32,
    "thread_count": 2,
    "verbose": False,
    "allow_writing_files": False,
}


def settings() -> dict[str, Any]:
    """Return what, beside the data, its features and the version of CatBoost, decides the weights."""
    return {"text": dict(TEXT), "image": dict(IMAGE), "image_seeds": IMAGE_SEEDS, "common": dict(COMMON)}


def fit(rows: tuple[Floats, Any, Floats], of_trees: Mapping[str, Any], seeds: int = 1) -> Trees:
    """Return trees that tell content from the rest, the mean of `seeds` fits; same rows, same trees."""
    from catboost import CatBoostClassifier  # for training only, so no dependency

    x, y, weight = rows
    fits = []
    for seed in range(seeds):
        model = CatBoostClassifier(**COMMON, **of_trees, random_seed=seed)
        model.fit(x, y, sample_weight=weight)
        fits.append(as_trees(model))
    return Trees(
        features=np.concatenate([trees.features for trees in fits]),
        thresholds=np.concatenate([trees.thresholds for trees in fits]),
        leaves=np.concatenate([trees.leaves for trees in fits]) * np.float32(1 / seeds),
        bias=sum(trees.bias for trees in fits) / seeds,
    )


def as_trees(model: Any) -> Trees:
    """Return the trees of a CatBoost model (its JSON: documentation, "Model export as JSON")."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        read = json.loads(path.read_text(encoding="utf-8"))
    trees = read["oblivious_trees"]
    depth = max(len(tree["splits"] or ()) for tree in trees)
    splits = [(*tree["splits"],) if tree["splits"] else () for tree in trees]
    leaves = np.zeros((len(trees), 1 << depth), np.float32)
    questions = np.zeros((len(trees), depth), np.int64)
    thresholds = np.full((len(trees), depth), np.inf, np.float32)  # a question that a shallow tree does not ask
    for at, (tree, asked) in enumerate(zip(trees, splits, strict=True)):
        leaves[at, : len(tree["leaf_values"])] = tree["leaf_values"]
        for place, split in enumerate(asked):
            questions[at, place], thresholds[at, place] = split["float_feature_index"], split["border"]
    scale, bias = read["scale_and_bias"]
    return Trees(questions.reshape(-1), thresholds.reshape(-1), leaves * scale, float(np.ravel(bias)[0]))
