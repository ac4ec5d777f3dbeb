"""An index of benchmarks: what it finds in texts and images, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from infimm_data.benchmarks import check_index, key_bytes, load_index, text_keys, write_index
from infimm_data.errors import ConfigError

LONG = "how many people in the picture are holding an umbrella while they cross the wet street"
SHORT = "what is the colour of the old wooden door"  # 9 words: compared whole


def make_index(path, texts=(), images=()):
    """texts: (benchmark, question); images: (benchmark, sha256 in hex, perceptual hash)."""
    rows = [(name, "ngram", length, key_bytes(key)) for name, text in texts for length, key in text_keys([text])]
    rows += [(name, "sha256", 0, bytes.fromhex(digest)) for name, digest, _ in images]
    rows += [(name, "phash", 0, key_bytes(value)) for name, _, value in images]
    write_index(str(path), rows, {"ngram": 13, "shortest": 8})
    return load_index(str(path))


def test_a_long_question_is_found_by_its_ngrams_wherever_it_stands(tmp_path):
    index = make_index(tmp_path / "i", [("vqa", LONG), ("mme", SHORT)])
    assert index.in_text(f"Quiz: {LONG.upper()}? Yes.") == {"vqa": 4}
    assert index.in_text(" ".join(LONG.split()[:13]) + " and more") == {"vqa": 1}
    assert index.in_text(" ".join(LONG.split()[:12])) == {}


def test_a_short_question_is_found_whole_and_a_shorter_one_never(tmp_path):
    index = make_index(tmp_path / "i", [("mme", SHORT), ("mme", "what is this"), ("vqa", SHORT)])
    assert index.in_text(f"He asked: {SHORT}!") == {"mme": 1, "vqa": 1}
    assert index.in_text(SHORT.replace("old ", "") + " what is this") == {}


def test_texts_without_words_hold_nothing(tmp_path):
    index = make_index(tmp_path / "i", [("mme", LONG)])
    assert [index.in_text(text) for text in ("", "...", "one")] == [{}, {}, {}]
    assert text_keys(["", "...", "one two"]) == set()


def test_images_are_found_by_file_and_by_nearness(tmp_path):
    index = make_index(tmp_path / "i", images=[("mme", "ab" * 32, 0b1111), ("pope", "cd" * 32, 0xFF << 56)])
    phash = np.array([0b1111, 0b0011, 0xFFFF_FFFF, (0xFF << 56) | 1, 0b0011], dtype=np.uint64)
    distance, names = index.in_images(phash, [None, "cd" * 32, "ef" * 32, None, None], 3)
    assert distance.tolist()[:2] == [0, 0]
    assert np.isnan(distance[2])
    assert distance.tolist()[3:] == [1, 2]
    assert names == ["mme", "mme,pope", None, "pope", "mme"]


def test_an_image_at_the_distance_is_found_and_one_beyond_is_not(tmp_path):
    index = make_index(tmp_path / "i", images=[("mme", "ab" * 32, 0)])
    for within, expected in ((0, [0, None, None]), (1, [0, 1, None]), (2, [0, 1, 2])):
        distance, _ = index.in_images(np.array([0, 1, 3], dtype=np.uint64), [None] * 3, within)
        assert [None if np.isnan(bits) else bits for bits in distance] == expected


def test_what_is_no_index_is_named_with_what_to_do(tmp_path):
    (tmp_path / "other").write_text("no parquet")
    for path in (tmp_path / "other", tmp_path / "absent"):
        with pytest.raises(
            ConfigError, match=rf"index {path}: no index of benchmarks is there; make one with 'infimm b"
        ):
            check_index(str(path))


def test_the_same_sets_give_the_same_bytes(tmp_path):
    texts = [("b", LONG), ("a", SHORT), ("a", LONG)]
    make_index(tmp_path / "one", texts)
    make_index(tmp_path / "two", [*reversed(texts), *texts])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
