"""The shipped content model is what the training script makes of the present features, settings and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.content_model import WEIGHTS
from pipelines.weights.fit_trees import settings
from pipelines.weights.provenance import digest_of_data, digest_of_features

DATA = Path(__file__).resolve().parents[3] / "../shared/data"


@pytest.fixture(scope="module")
def card() -> Any:
    return json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_model_was_trained_with_the_present_features_and_settings(card: Any) -> None:
    assert card["features"] == digest_of_features(), "features have changed: python -m pipelines.weights.train_content"
    assert card["training"] == settings(), "settings have changed: python -m pipelines.weights.train_content"


def test_the_model_was_trained_on_the_present_data(card: Any) -> None:
    if (digest := digest_of_data(DATA)) is None:
        pytest.skip(f"not all sets html_* are beside the checkout ({DATA})")
    assert card["data"] == digest


def test_another_file_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.weights.provenance.SETS", {"a": None})
    assert digest_of_data(tmp_path) is None
    file = tmp_path / "html_a" / "b" / "x.html"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    first = digest_of_data(tmp_path)
    file.rename(file.with_name("y.html"))
    renamed = digest_of_data(tmp_path)
    file.with_name("y.html").write_text("z")
    assert len({first, renamed, digest_of_data(tmp_path)}) == 3
