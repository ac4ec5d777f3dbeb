"""Packing: every piece in one row, rows never over the capacity, nearly full and of even cost; ranks too."""

import numpy as np
import pytest

from infimm_data.stream.failures import Failures
from infimm_data.stream.pack import deal, even_out, pack
from infimm_data.stream.rows import plan_rows, row_cost
from infimm_data.stream.settings import StreamSettings
from tests.infimm_data.stream.obelics_like import obelics_like


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


def test_a_row_takes_no_more_images_than_it_may():
    lengths, images = [30] * 6, [4, 4, 3, 2, 1, 0]
    rows = pack(lengths, 100, images=images, max_images=5)
    assert sorted(position for row in rows for position in row) == list(range(6))
    assert max(sum(images[position] for position in row) for row in rows) <= 5
    assert len(pack(lengths, 100, images=images)) == 2


def test_a_piece_with_more_images_than_a_row_may_take_is_kept():
    rows = pack([30, 30, 30], 100, images=[9, 2, 0], max_images=3)
    assert sorted(position for row in rows for position in row) == [0, 1, 2]


def costs(rows, lengths, images, image_cost):
    return [sum(lengths[i] + image_cost * images[i] for i in row) for row in rows]


def test_rows_are_made_to_cost_alike_without_a_row_more():
    rng = np.random.default_rng(1)
    lengths = np.minimum(rng.lognormal(6, 1, 300).astype(int) + 1, 2000).tolist()
    images = rng.geometric(0.4, 300).tolist()
    rows = pack(lengths, 2000, images=images)
    even = even_out(rows, lengths, 2000, images=images, image_cost=50.0)
    assert sorted(position for row in even for position in row) == list(range(300))
    assert len(even) == len(rows)
    assert max(sum(lengths[i] for i in row) for row in even) <= 2000
    before, after = (np.array(costs(found, lengths, images, 50.0)) for found in (rows, even))
    assert after.max() < before.max()
    assert after.std() < 0.9 * before.std()


def test_evening_out_keeps_to_the_images_that_a_row_may_take():
    rng = np.random.default_rng(2)
    lengths, images = rng.integers(50, 600, 200).tolist(), rng.integers(0, 4, 200).tolist()
    rows = pack(lengths, 2000, images=images, max_images=14)
    even = even_out(rows, lengths, 2000, images=images, max_images=14, image_cost=1000.0)
    assert max(sum(images[i] for i in row) for row in even) <= 14


def test_without_images_rows_stay_as_they_are():
    assert even_out([[0], [1]], [90, 10], 100, images=[0, 0], image_cost=10.0) == [[0], [1]]


def test_ranks_get_as_many_rows_each_of_about_the_same_cost():
    assert deal([9, 1, 8, 2, 7, 3], 3) == [[0, 1], [2, 3], [4, 5]]
    assert deal([5, 5], 1) == [[0, 1]]


# What an image costs beside Zephyr; 8 ranks of 4 rows, as on one node.
@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.3])
@pytest.mark.parametrize("row_tokens", [792, 2048])
def test_lengths_like_those_of_obelics_fill_95_percent_and_cost_ranks_the_same(vocabulary, row_tokens, sigma):
    settings = StreamSettings(row_tokens=row_tokens, image_cost=10)
    samples = obelics_like(settings.window_documents, seed=5, sigma=sigma)
    rows = plan_rows(samples, vocabulary, settings, seed=(1,), failures=Failures(1))
    assert sum(len(piece.tokens) for row in rows for piece in row) / (row_tokens * len(rows)) >= 0.95
    over = []
    for start in range(0, len(rows) - 31, 32):
        row_costs = [row_cost(row, settings) for row in rows[start : start + 32]]
        ranks = [sum(row_costs[i] for i in hand) for hand in deal(row_costs, 8)]
        over.append(max(ranks) / np.mean(ranks) - 1)
    assert max(over) < 0.03
