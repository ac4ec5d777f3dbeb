"""The classifier of mathematical pages: what it reads, what it says, and what it is worth on pages it never saw."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from filters.quality_model import LONGEST_TOKEN, READ_CHARACTERS, SHIPPED, QualityModel, probability, quality_line
from infimm_data.document import Document, TextNode
from infimm_data.errors import ConfigError

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
CARD = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))

# Written by hand for this test.
MATHEMATICS = [
    r"Let $f$ be continuous on $[a, b]$. By the mean value theorem there is a $c$ with "
    r"$f'(c) = \frac{f(b) - f(a)}{b - a}$.",
    "Every finite group of prime order is cyclic: take an element other than the identity, and by Lagrange's theorem "
    "the subgroup that it generates has the order of the group.",
    r"The eigenvalues of the matrix are the roots of its characteristic polynomial $\det(A - \lambda I) = 0$.",
]
OTHERS = [
    "The ferry leaves the harbour at nine and reaches the island before noon. Bring a coat, since the wind is cold.",
    "We tested three jackets over the winter. The blue one kept us dry; the zip of the green one broke in a week.",
    "The council voted on Tuesday to close the old bridge while its railings are painted. Traffic will be diverted.",
]


def measured(*texts: str, **settings: str) -> float | None:
    document = Document(id="0", nodes=tuple(TextNode(text=text) for text in texts))
    found = QualityModel(**settings).measure(document)["quality"]
    assert found is None or isinstance(found, float)
    return found


@pytest.mark.parametrize("text", MATHEMATICS)
def test_mathematics_passes_the_default_bound(text: str) -> None:
    assert (measured(text) or 0) >= 0.4


@pytest.mark.parametrize("text", OTHERS)
def test_other_prose_does_not(text: str) -> None:
    assert (measured(text) or 0) < 0.4


def test_the_line_has_lower_case_words_commands_signs_and_one_token_for_numbers() -> None:
    text = "Theorem 3.14:\nLet \\Alpha_{12} – “x” ≤ 1,000. See https://a.example/1?b=2 and www.b.example/c"
    found = quality_line(text)
    assert found == 'theorem <num> : let \\alpha { <num> } - " x " ≤ <num> see and'
    assert quality_line("x" * LONGEST_TOKEN + " " + "y" * (LONGEST_TOKEN + 1)) == "x" * LONGEST_TOKEN
    assert quality_line("证明：x") == "证 明 : x"
    assert quality_line("half \ud83d a surrogate") == "half a surrogate"
    assert quality_line(" \n\t") == ""


def test_only_the_start_of_a_document_is_read() -> None:
    long = "The ferry leaves the harbour. " * (READ_CHARACTERS // 30 + 1)
    assert measured(long, *MATHEMATICS) == measured(long)


def test_a_text_without_a_token_has_no_quality_and_is_dropped() -> None:
    assert measured("", " \n ") is None
    assert measured() is None
    (rule,) = QualityModel().rules()
    assert rule.passes(np.array([0.4, 0.3999, np.nan])).tolist() == [True, False, False]
    assert QualityModel(min_quality=None).rules() == ()


def test_a_label_that_the_model_lacks_is_said_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"math\.ftz: no label 'maths'\. Did you mean 'math'"):
        measured("some text", label="maths")
    with pytest.raises(ConfigError, match="no fastText model"):
        measured("some text", model="none.ftz")


def test_both_labels_together_are_everything() -> None:
    lines = [quality_line(text) for text in (*MATHEMATICS, *OTHERS)]
    sums = np.add(probability(str(SHIPPED), "math", lines), probability(str(SHIPPED), "other", lines))
    assert sums == pytest.approx(np.ones(6), abs=1e-3)


def test_the_shipped_model_is_the_one_of_its_card() -> None:
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() == CARD["sha256"]
    assert SHIPPED.stat().st_size == CARD["size_bytes"] < 500_000
    assert CARD["held_out"]["at"]["0.4"]["recall"] > 0.98


def test_on_real_pages_mathematics_is_found_and_little_else() -> None:
    if not SHARED.exists():
        pytest.skip("shared data html_defuddle and html_wcxb_dev are not here")
    pages = sorted((SHARED / "html_defuddle/expected").glob("*.md"))
    named = [page for page in pages if page.name.startswith("math--") or "jordan-algebra" in page.name]
    found = [measured(page.read_text()) or 0 for page in named]
    assert len(found) >= 14
    assert np.mean(np.array(found) >= 0.4) >= 0.9
    gold = [json.loads(file.read_text()) for file in sorted((SHARED / "html_wcxb_dev/ground-truth").glob("*.json"))]
    texts = [page.get("ground_truth", page)["main_content"] for page in gold]
    others = np.array([measured(text) or 0 for text in texts])
    assert len(others) > 500
    assert np.mean(others >= 0.4) < 0.08
    assert np.mean(others >= 0.8) < 0.03
