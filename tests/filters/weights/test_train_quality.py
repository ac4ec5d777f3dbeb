"""Two stages of a quality classifier: seeds, candidates for a judge, and the judge's scores."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from filters.quality_model import probability
from filters.weights.math_seeds import docstrings, listings
from filters.weights.train_quality import examples, main, split
from infimm_data.document import Origin, TextNode, new_document
from infimm_data.errors import ConfigError
from infimm_data.tables import DOCUMENTS, document_row, open_table

WORDS = {"good": ["theorem", "lemma", "proof", "integral", "prime"], "bad": ["shoe", "price", "cart", "sale", "shop"]}
SHARED_WORDS = ["the", "of", "a", "with", "and", "is", "for", "one", "two"]


def texts(kind: str, count: int, seed: int) -> list[str]:
    rng = random.Random(f"{kind} {seed}")
    return [" ".join(rng.choice(WORDS[kind] + SHARED_WORDS) for _ in range(30)) for _ in range(count)]


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def card(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seeds and the first stage that was trained from them."""
    folder = tmp_path_factory.mktemp("quality")
    good = lines(folder / "good.jsonl", [{"text": text} for text in texts("good", 150, 0)])
    bad = lines(folder / "bad.jsonl", [{"text": text} for text in texts("bad", 400, 0)])
    main(["seed", "--positives", good, "--negatives", bad, "--out", str(folder / "1.ftz"), "--source", "made"])
    return folder


def test_the_first_stage_tells_wanted_from_others_on_texts_it_never_saw(seeded: Path) -> None:
    found = card(seeded / "1.ftz")
    assert found["held_out"]["at"]["0.5"]["precision"] > 0.95
    assert found["held_out"]["at"]["0.5"]["recall"] > 0.95
    assert found["held_out"]["wanted"] + found["held_out"]["others"] + found["training"]["texts"] == 300
    assert (found["stage"], found["data"], found["label"]) == ("seed", "made", "math")


def test_training_again_in_another_order_gives_the_same_bytes(seeded: Path, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        rows = (seeded / f"{name}.jsonl").read_text().splitlines()
        (tmp_path / f"{name}.jsonl").write_text("\n".join(reversed(rows)) + "\n")
    given = ["--positives", str(tmp_path / "good.jsonl"), "--negatives", str(tmp_path / "bad.jsonl")]
    main(["seed", *given, "--out", str(tmp_path / "2.ftz")])
    assert (tmp_path / "2.ftz").read_bytes() == (seeded / "1.ftz").read_bytes()


def test_the_second_stage_learns_what_the_judge_wants(seeded: Path, tmp_path: Path) -> None:
    """Candidates are documents of a build that pass the first stage; the judge likes proofs and no integrals."""
    kinds = ("good", "bad")
    documents = [
        new_document((TextNode(text=text),), Origin(dump="made", offset=at, url=f"https://a.example/{kind}/{at}"))
        for kind in kinds
        for at, text in enumerate(texts(kind, 300, 1))
    ]
    with open_table(str(tmp_path / "0.parquet"), DOCUMENTS, fingerprint="") as table:
        for document in documents:
            table.add(document_row(document))
    ask, first = tmp_path / "ask.jsonl", str(seeded / "1.ftz")
    main(["candidates", str(tmp_path / "0.parquet"), "--model", first, "--count", "260", "--out", str(ask)])
    asked = [json.loads(line) for line in ask.read_text().splitlines()]
    assert len(asked) == 260
    assert not [row for row in asked if "shoe" in row["text"] and "theorem" not in row["text"]]
    liked = [row["text"].count("proof") > row["text"].count("integral") for row in asked]
    scores = [{"id": row["id"], "score": 9 if likes else 2} for row, likes in zip(asked, liked, strict=True)]
    judged = lines(tmp_path / "scores.jsonl", scores)
    second = tmp_path / "2.ftz"
    main(["scored", str(tmp_path / "0.parquet"), "--scores", judged, "--out", str(second)])
    assert card(second)["stage"] == "scored"
    told = probability(str(second), "math", ["proof proof of one", "integral integral of one"])
    assert told[0] > 0.6 > 0.4 > told[1]


def test_labels_are_balanced_and_a_text_of_both_is_of_neither() -> None:
    good, bad = texts("good", 40, 2), texts("bad", 90, 2)
    wanted, others = examples([*good, *good, "BOTH kinds", ""], [*bad, "both  kinds"])
    assert (len(wanted), len(others)) == (40, 40)
    assert "both kinds" not in wanted + others
    assert examples(good[::-1], bad[::-1]) == (wanted, others)


def test_a_fifth_is_held_out_by_the_text_alone() -> None:
    found = texts("good", 1000, 3)
    training, held_out = split(found)
    assert 150 < len(held_out) < 250
    assert sorted(training + held_out) == sorted(found)
    assert split(found[::-1])[1] == held_out[::-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json\n", r"a\.jsonl, line 1: expected a JSON object"),
        ('{"text": "x"}\n[1]\n', r"a\.jsonl, line 2: expected a JSON object"),
        ('{"text": "x", "score": "much"}\n', "line 1: expected a JSON object with text, or id and score"),
        ('{"text": "x y"}\n', "1 wanted and 1 other texts that differ, expected at least 20 of each"),
    ],
)
def test_files_that_cannot_train_are_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    other = lines(tmp_path / "b.jsonl", [{"text": "another"}])
    with pytest.raises(ConfigError, match=said):
        main(["seed", "--positives", str(tmp_path / "a.jsonl"), "--negatives", other, "--out", str(tmp_path / "m.ftz")])
    for name in ("none.jsonl", "broken.jsonl.gz", "broken.parquet"):
        (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8bno")
        (tmp_path / "broken.parquet").write_bytes(b"PAR1no")
        with pytest.raises(ConfigError, match=name):
            main(["scored", str(tmp_path / name), "--out", str(tmp_path / "m.ftz")])


def test_seeds_are_read_without_doctests_and_listings_are_the_same_each_time() -> None:
    found = list(docstrings("mpmath.calculus.quadrature"))
    assert len(found) > 3
    assert not [text for text in found if ">>>" in text]
    assert list(listings(3)) == list(listings(3))
    assert "products" in next(listings(1))
