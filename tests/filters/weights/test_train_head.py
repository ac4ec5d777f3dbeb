"""A head learns from vectors and labels, says what it is worth, and is the same on every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from filters.models.heads import load_head
from filters.weights.fit_head import fit_linear, forward, platt, standardised
from filters.weights.head_metrics import auc, binary_metrics, ranks, value_metrics
from filters.weights.train_head import main, read_examples
from infimm_data.errors import ConfigError
from infimm_data.tables import measures_table

WIDTH = 12


def made(images: int = 600, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Unit vectors, and labels that the first three numbers decide up to noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(images, WIDTH))
    labels = (vectors[:, :3].sum(1) + noise * rng.normal(size=images) > 0.5).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def tables(folder: Path, vectors: Any, labels: Any, *, order: Any = None) -> list[str]:
    """Two Parquet files as a build stores them, two images per document, and the labels as CSV."""
    order = range(len(labels)) if order is None else order
    rows = [(f"doc{at // 2}", at % 2, vectors[at].astype(np.float16), labels[at]) for at in order]
    folder.mkdir()
    for number, part in enumerate((rows[::2], rows[1::2])):
        ids, nodes, found, _ = zip(*part, strict=True)
        table = measures_table({"id": [*ids, "broken"], "node": [*nodes, 0]}, [*({"embedding": v} for v in found), {}])
        pq.write_table(table, folder / f"{number}.parquet")
    lines = [f"{document},{node},{label:g}" for document, node, _, label in rows]
    (folder / "labels.csv").write_text("\n".join(["id,node,label", *lines, "unknown,0,1"]) + "\n")
    return [str(folder / "0.parquet"), str(folder / "1.parquet"), "--labels", str(folder / "labels.csv")]


def run(arguments: list[str], out: Path, *more: str) -> dict[str, Any]:
    main([*arguments, "--out", str(out), "--clip", "tiny", *more])
    card: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return card


def test_a_head_learns_what_the_labels_say_and_is_read_back(tmp_path: Path) -> None:
    vectors, labels = made(noise=0.3)
    card = run(tables(tmp_path / "a", vectors, labels), tmp_path / "h.safetensors")
    assert card["held_out"]["auc"] > 0.95
    assert card["held_out"]["calibration_error"] < 0.1
    assert sum(card["images"].values()) == 600
    head = load_head(str(tmp_path / "h.safetensors"))
    assert (head.clip, head.is_probability, head.digest) == ("tiny", True, card["sha256"])
    unseen, truth = made(seed=5, noise=0.3)
    assert auc(head(unseen), truth) > 0.95


@pytest.mark.parametrize("hidden", [[], ["--hidden", "8", "4"]])
def test_the_same_labels_in_another_order_give_the_same_bytes(tmp_path: Path, hidden: list[str]) -> None:
    vectors, labels = made(300)
    mixed = np.random.default_rng(1).permutation(300)
    threads = torch.get_num_threads()
    run(tables(tmp_path / "a", vectors, labels), tmp_path / "a.st", *hidden)
    run(tables(tmp_path / "b", vectors, labels, order=mixed), tmp_path / "b.st", *hidden)
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()
    assert torch.get_num_threads() == threads


def test_what_no_line_divides_needs_a_hidden_layer(tmp_path: Path) -> None:
    vectors, _ = made(1200)
    labels = (np.abs(vectors[:, 0]) > 0.19).astype(np.float64)
    np.save(tmp_path / "x.npy", vectors)
    np.save(tmp_path / "y.npy", labels)
    given = [str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")]
    assert run(given, tmp_path / "line.st")["held_out"]["auc"] < 0.65
    assert run(given, tmp_path / "deep.st", "--hidden", "16")["held_out"]["auc"] > 0.9


def test_a_value_is_learnt_as_a_number(tmp_path: Path) -> None:
    vectors, _ = made()
    np.save(tmp_path / "x.npy", vectors)
    np.save(tmp_path / "y.npy", 5 + 2 * vectors[:, 1])
    given = [str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")]
    card = run(given, tmp_path / "h.st", "--output", "value")
    assert card["held_out"]["r_squared"] > 0.99
    assert load_head(str(tmp_path / "h.st"))(vectors[:5]) == pytest.approx(5 + 2 * vectors[:5, 1], abs=0.05)


def test_images_of_one_document_are_in_one_part(tmp_path: Path) -> None:
    vectors, labels = made(200)
    given = tables(tmp_path / "a", vectors, labels)
    examples = read_examples([Path(given[0]), Path(given[1])], Path(given[3]))
    parts = examples.parts[(vectors @ examples.vectors.T).argmax(1)]
    assert (parts[::2] == parts[1::2]).all()
    assert set(examples.parts) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros(300), "has 0 of a label, expected at least 10"),
        (np.arange(300.0), "expected 0 and 1; for other numbers give --output value"),
        (np.full(300, np.nan), "must be finite"),
        (np.zeros(299), r"shape \[300, 12\] beside 299 labels"),
        (np.array([object()] * 300), "cannot be read as .npy"),
    ],
)
def test_labels_that_teach_nothing_are_one_line(tmp_path: Path, labels: Any, said: str) -> None:
    np.save(tmp_path / "x.npy", made(300)[0])
    np.save(tmp_path / "y.npy", labels, allow_pickle=True)
    with pytest.raises(ConfigError, match=said):
        run([str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")], tmp_path / "h.st")


def test_a_work_item_without_images_is_passed_over(tmp_path: Path) -> None:
    given = tables(tmp_path / "a", *made())
    pq.write_table(measures_table({"id": [], "node": []}, []), tmp_path / "empty.parquet")
    card = run([str(tmp_path / "empty.parquet"), *given], tmp_path / "h.safetensors")
    assert sum(card["images"].values()) == 600


def test_files_that_do_not_belong_together_are_one_line(tmp_path: Path) -> None:
    vectors, labels = made(100)
    given = tables(tmp_path / "a", vectors, labels)
    (tmp_path / "other.csv").write_text("id,node,label\nnobody,0,1\n")
    with pytest.raises(ConfigError, match="none of its 1 labels names an image that has a vector"):
        run([*given[:3], str(tmp_path / "other.csv")], tmp_path / "h.st")
    (tmp_path / "other.csv").write_text("url,label\na,1\n")
    with pytest.raises(ConfigError, match="expected a CSV file with the columns id,node,label"):
        run([*given[:3], str(tmp_path / "other.csv")], tmp_path / "h.st")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "no.parquet")
    with pytest.raises(ConfigError, match="expected Parquet with id, node and embedding"):
        run([str(tmp_path / "no.parquet"), *given[2:]], tmp_path / "h.st")


def test_auc_counts_ties_half_and_equals_the_count_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, 60).astype(np.float64), rng.integers(0, 2, 60).astype(np.float64)
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1.0, 2.5]
    assert np.isnan(auc(scores, np.ones(60)))


def test_metrics_of_a_perfect_and_of_a_blind_head() -> None:
    labels = np.array([0.0, 1.0] * 50)
    perfect = binary_metrics(labels, labels)
    assert (perfect["auc"], perfect["brier"], perfect["calibration_error"]) == (1.0, 0.0, 0.0)
    assert perfect["at"]["0.5"] == {"precision": 1.0, "recall": 1.0, "told": 0.5}
    blind = binary_metrics(np.full(100, 0.5), labels)
    assert (blind["auc"], blind["brier"], blind["calibration_error"]) == (0.5, 0.25, 0.0)
    assert value_metrics(labels, labels)["spearman"] == 1.0


def test_calibration_brings_overconfident_outputs_back(tmp_path: Path) -> None:
    vectors, labels = made(4000, noise=2.0)
    mean, variance = standardised(vectors)
    inputs = (vectors - mean) / np.sqrt(variance)
    train, tune, test = (
        (inputs[part], labels[part]) for part in (slice(0, 2000), slice(2000, 3000), slice(3000, None))
    )
    ((weight, bias),) = fit_linear(train, tune, is_binary=True)
    loud = [(weight * 20, bias * 20 + 3)]
    before, after = (1 / (1 + np.exp(-forward(layers, test[0]))) for layers in (loud, platt(loud, tune)))
    assert binary_metrics(before, test[1])["calibration_error"] > 0.15
    assert binary_metrics(after, test[1])["calibration_error"] < 0.06


def test_a_perfect_division_does_not_calibrate_without_end() -> None:
    inputs = np.linspace(-1, 1, 100)[:, None]
    labels = (inputs[:, 0] > 0).astype(np.float64)
    layers = platt([(np.array([[1.0]]), np.zeros(1))], (inputs, labels))
    assert np.isfinite(layers[0][0]).all()
    assert abs(float(layers[0][0][0, 0])) < 1000
