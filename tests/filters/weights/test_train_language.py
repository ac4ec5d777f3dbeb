from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from filters.weights.train_language import Training, card, main, read_sentences, split, train, with_pieces
from infimm_data.errors import ConfigError

TINY = Training(dim=4, maxn=3, bucket=20_000, epoch=5, minCount=1)
ALPHABETS = {"aa": "abcdefgh", "bb": "ghijklmn", "cc": "opqrstuv"}


def sentences(seed: int) -> list[tuple[str, str]]:
    """Made-up languages that share few letters."""
    rng = random.Random(seed)
    return [
        (slug, " ".join("".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(8)))
        for slug, letters in ALPHABETS.items()
        for _ in range(80)
    ]


def gzipped(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode("utf-8")))
    return path


def test_training_twice_gives_the_same_bytes_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = sentences(0)
    train(rows, tmp_path / "a.ftz", TINY)
    train(rows[::-1], tmp_path / "b.ftz", TINY)
    assert (tmp_path / "a.ftz").read_bytes() == (tmp_path / "b.ftz").read_bytes()
    known = card(tmp_path / "a.ftz", TINY, rows, sentences(1), "made up")
    assert set(known["languages"]) == set(ALPHABETS)
    assert known["accuracy_of_claimed"] >= 0.95
    assert known["languages"]["aa"]["trained_on"] == known["languages"]["aa"]["held_out"] == 80


def test_a_seventh_is_held_out_by_the_sentence_alone() -> None:
    rows = sentences(2)
    training, held_out = split(rows)
    assert not {sentence for _, sentence in training} & {sentence for _, sentence in held_out}
    assert sorted(training + held_out) == sorted(rows)
    assert 0.08 < len(held_out) / len(rows) < 0.2
    assert split(rows[::-1])[1] == held_out[::-1]


def test_pieces_cut_between_words_and_lose_none() -> None:
    rows = [
        ("en", "one two three four five six"),
        ("en", "too short to cut"),
        ("zh", "灯塔矗立在离港口两英里的岩石上面"),
    ]
    assert with_pieces(rows)[3:] == [
        ("en", "one two three"),
        ("en", "four five six"),
        ("zh", "灯塔矗立在离港口"),
        ("zh", "两英里的岩石上面"),
    ]


def test_sentences_are_read_as_their_letters(tmp_path: Path) -> None:
    path = gzipped(tmp_path / "s.tsv.gz", "en\tThe 2 Cats, see www.cats.org!\nxx\t123\nfr\tL’été\n")
    assert read_sentences(path) == [("en", "the cats see"), ("fr", "l'été")]


@pytest.mark.parametrize(
    ("text", "problem"), [("en the cats", "line 1: expected 'slug<TAB>sentence'"), ("en\tok\n\n", "line 2")]
)
def test_a_line_without_a_language_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_sentences(gzipped(tmp_path / "s.tsv.gz", text))


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.tsv.gz").write_bytes(b"en\tplain text")
    with pytest.raises(ConfigError, match=r"s\.tsv\.gz: cannot be read as gzipped UTF-8"):
        main([str(tmp_path / "s.tsv.gz")])
