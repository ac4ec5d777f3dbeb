"""The order of an epoch: a permutation that any place of it is asked for, another one per epoch, dataset and seed."""

import numpy as np
import pytest

from infimm_data.stream.order import epoch_order


def order(count: int, *, seed: int = 3, name: str = "", epoch: int = 0) -> list[int]:
    return epoch_order(np.arange(count), count, seed=seed, name=name, epoch=epoch)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 255, 1000, 4097])
def test_it_holds_every_document_once(count):
    assert sorted(order(count)) == list(range(count))


@pytest.mark.parametrize("changed", [{"seed": 4}, {"name": "laion"}, {"epoch": 1}])
def test_another_seed_dataset_or_epoch_has_another_order(changed):
    assert order(200) != order(200, **changed)
    assert order(200) == order(200)


def test_a_place_far_into_a_large_epoch_is_computed_alone():
    count = 141_047_697  # documents of OBELICS: a stored permutation would be 1.1 GB
    places = np.array([0, 77, count - 1, 100_000_000])
    found = epoch_order(places, count, seed=0, name="", epoch=5)
    assert found == [epoch_order(places[i : i + 1], count, seed=0, name="", epoch=5)[0] for i in range(4)]
    assert len(set(found)) == 4
    assert all(0 <= one < count for one in found)


def test_neighbours_are_scattered_evenly():
    found = np.array(order(10_000))
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.05
    assert np.abs(np.bincount(found[:1000] // 1000, minlength=10) - 100).max() < 40
