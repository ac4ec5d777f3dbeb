"""Packing: every piece in one row, rows never over the capacity, and nearly full."""

import numpy as np
import pytest

from infimm_data.stream.pack import pack


def test_every_piece_is_in_exactly_one_row_that_it_fits():
    lengths = np.random.default_rng(0).integers(1, 101, 500).tolist()
    rows = pack(lengths, 100)
    assert sorted(position for row in rows for position in row) == list(range(500))
    assert max(sum(lengths[position] for position in row) for row in rows) <= 100


def test_pieces_that_fill_a_row_together_share_it():
    assert pack([60, 40, 50, 50], 100) == [[0, 1], [2, 3]]


def test_a_piece_goes_where_it_leaves_the_least_unused():
    assert pack([70, 80, 20], 100) == [[1, 2], [0]]


@pytest.mark.parametrize("length", [0, 101])
def test_a_length_out_of_bounds_is_an_error(length):
    with pytest.raises(ValueError, match=r"expected 1\.\.100"):
        pack([length], 100)


def test_nothing_gives_no_rows():
    assert pack([], 100) == []


def test_lengths_like_those_of_obelics_fill_at_least_95_percent():
    # mean 815 text tokens per document (OBELICS, table 2); pieces of at most 2,048 as the stream cuts them
    rng = np.random.default_rng(7)
    lengths = []
    for length in rng.lognormal(mean=np.log(815) - 0.5, sigma=1.0, size=256).astype(int) + 4:
        lengths += [2048] * (length // 2048) + ([length % 2048] if length % 2048 else [])
    assert sum(lengths) / (2048 * len(pack(lengths, 2048))) >= 0.95
