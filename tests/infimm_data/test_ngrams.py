from __future__ import annotations

from infimm_data.ngrams import ngram_keys, word_hashes


def test_runs_of_words_have_one_number_wherever_they_stand() -> None:
    first, second = word_hashes("a b c d"), word_hashes("x b c d y")
    assert ngram_keys(first, 3)[1] == ngram_keys(second, 3)[1]
    assert len(set(ngram_keys(word_hashes("a b a b a"), 2).tolist())) == 2


def test_the_order_of_words_counts() -> None:
    assert ngram_keys(word_hashes("a b"), 2)[0] != ngram_keys(word_hashes("b a"), 2)[0]


def test_too_few_words_have_no_run() -> None:
    assert ngram_keys(word_hashes("a b"), 3).tolist() == []
    assert word_hashes("").tolist() == ngram_keys(word_hashes(""), 1).tolist() == []


def test_half_a_surrogate_is_a_word() -> None:
    assert len(word_hashes("a \ud83d")) == 2
